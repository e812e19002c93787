"""pyproject.toml, as the tests read it."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


@cache
def project() -> dict[str, Any]:
    """Its table [project]."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def extras() -> dict[str, list[Requirement]]:
    """What each extra asks for, other extras among it."""
    given = project()["optional-dependencies"]
    return {name: [Requirement(line) for line in lines] for name, lines in given.items()}


def packages(extra: str) -> list[Requirement]:
    """What an extra installs in the end."""
    found = []
    for needed in extras()[extra]:
        found += [each for name in needed.extras for each in packages(name)] if needed.name == "vgg-zoo" else [needed]
    return found


def lowest(requirement: Requirement) -> str:
    """Its lower bound, with three numbers as releases have them."""
    (bound,) = re.findall(r">=([\d.]+)", str(requirement.specifier))
    return ".".join([*bound.split("."), "0", "0"][:3])
