"""What `benchmarks.gpu` needs, looked for before anything is imported that takes long, or runs."""

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

MODULES = {
    **{name: name for name in ("torch", "torchvision", "timm", "accelerate", "datasets", "safetensors", "numpy")},
    **{"PIL": "pillow", "matplotlib": "matplotlib", "psutil": "psutil", "sklearn": "scikit-learn"},
    **{"simplejpeg": "simplejpeg", "tqdm": "tqdm"},
}
"""Modules and the packages that have them: those of vgg_zoo and of its extra `train`."""

WANTED = {"torch": (2, 11), "timm": (1, 0, 31)}
"""Versions that the figures are wanted for; older ones run."""


def missing() -> list[str]:
    """Packages that are not installed."""
    return [package for module, package in MODULES.items() if find_spec(module) is None]


def too_old() -> list[str]:
    """A sentence for each package that is older than wanted."""
    said = []
    for package, wanted in WANTED.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        if tuple(map(int, re.findall(r"\d+", found)[: len(wanted)])) < wanted:
            said.append(
                f"{package} {found} is older than {'.'.join(map(str, wanted))}, which the figures are wanted for"
            )
    return said
