#!/bin/sh
# Makes .venv and installs the checkout with its `dev` extra, unless that was done already for the same pyproject.toml,
# Python and constraints. Says in plain words what is missing.
# usage: .ci/install.sh PYTHON [CONSTRAINTS]
# VGG_ZOO_DISK_GB: space to ask for; PyTorch brings several GB of CUDA libraries on Linux.
set -eu
python=$1
constraints=${2:-}
needed=${VGG_ZOO_DISK_GB:-9}
stamp=.venv/installed

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "no '$python' on this machine; name a Python of 3.10 or newer: make ... PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || fail "'$python' does not run; name another Python: make ... PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "'$python' is Python $version, and 3.10 or newer is needed; name another one: make ... PYTHON=python3.12"
[ -z "$constraints" ] || [ -f "$constraints" ] || fail "no constraints file '$constraints'"

# What the installation depends on; a stamp with the same sum means that there is nothing to do.
sum=$({ cat pyproject.toml ${constraints:+"$constraints"}; "$python" -VV; pwd; } | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then
    exit 0
fi

[ -w . ] || fail "cannot write to $(pwd), where .venv and runs/ go; run make in a checkout of your own"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "'$python' has no venv module; install it (on Debian and Ubuntu: apt install python$version-venv), or name another Python: make ... PYTHON=..."
free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge "$needed" ] || fail "$free GB are free here and $needed GB are needed for PyTorch and its libraries; free some, or set VGG_ZOO_DISK_GB if you know better"

# An installation that works is not thrown away before pip is known to find the packages of a new one.
made=
[ -x .venv/bin/python ] || { "$python" -m venv .venv && made=yes; } || fail "could not make .venv with '$python'"
probe=$(mktemp -d)
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --retries 0 --timeout 20 --dest "$probe" hatchling >/dev/null 2>&1 || {
    rm -rf "$probe" ${made:+.venv}
    fail "pip finds no package index; the installation needs a network, or PIP_INDEX_URL with the address of one that can be reached"
}
rm -rf "$probe"
echo "installing into .venv with Python $version (PyTorch is large: this takes some minutes)"
[ -n "$made" ] || "$python" -m venv --clear .venv || fail "could not make .venv with '$python'"
.venv/bin/python -m pip install --quiet --disable-pip-version-check ${constraints:+--constraint "$constraints"} -e '.[dev]' ||
    fail "pip could not install the packages; its message is above"
printf '%s\n' "$sum" >"$stamp"
