#!/bin/sh
# Runs timm's own test suite, of exactly the timm that is installed, against our nets.
# usage: tests/timm_suite/run.sh PYTHON
set -eu
python=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$("$python" -c 'import timm; print(timm.__version__)')
cache=$root/.cache/timm-$version

if [ ! -f "$cache/tests/test_models.py" ]; then
    # Only the tests and their pytest settings are copied, so that the installed timm is the one tested.
    rm -rf "$cache" "$cache.part"
    mkdir -p "$cache.part"
    "$python" -m pip download --quiet --no-deps --no-binary :all: --dest "$cache.part" "timm==$version" || {
        echo "error: cannot fetch the source of timm $version, which holds its tests; is there a network?" >&2
        exit 1
    }
    tar -xzf "$cache.part"/timm-*.tar.gz -C "$cache.part"
    mkdir "$cache.part/suite"
    mv "$cache.part"/timm-*/tests "$cache.part"/timm-*/pyproject.toml "$cache.part/suite"
    mv "$cache.part/suite" "$cache"
    rm -rf "$cache.part"
fi

cd "$cache"
# With GITHUB_ACTIONS set, timm leaves out its tests of large models, the VGGs among them.
unset GITHUB_ACTIONS
PYTHONPATH=$here exec "$python" -m pytest tests/test_models.py -p vgg_zoo_plugin -q --no-header "$@"
