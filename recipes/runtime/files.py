"""Files that commands write: JSON, tables as CSV and Markdown, and the origin of a result."""

import csv
import io
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vgg_zoo
from recipes.runtime.hardware import hardware
from vgg_zoo.style import LIGHT, Draw, Theme, check_matplotlib, png
from vgg_zoo.weights.files import whole

PACKAGES = ("torch", "timm", "accelerate", "datasets", "pillow", "safetensors")


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write a table of at least one dataclass, all of the same type, for example bad images."""
    write_csv(path, [field.name for field in fields(rows[0])], [astuple(row) for row in rows])


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, its header first."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    with whole(path) as writing:
        writing.write_text(text)


def check_pictures() -> None:
    """Check that pictures can be drawn, before work that ends with one.

    Raises:
        ValueError: matplotlib is missing; the message says how to install it.
    """
    try:
        check_matplotlib()
    except ImportError as error:
        raise ValueError(str(error)) from error


def write_picture(path: Path, draw: Draw, theme: Theme = LIGHT) -> None:
    """Write what a function draws on a figure as PNG, whole or not at all."""
    picture = png(draw, theme)
    with whole(path) as writing:
        writing.write_bytes(picture)


def provenance() -> dict[str, Any]:
    """The command, the commit, the versions and the hardware that made a result."""
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {"vgg-zoo": vgg_zoo.__version__} | {name: version(name) for name in PACKAGES},
        "hardware": hardware(),
    }


def _commit() -> str | None:
    """The checkout's commit, with "+" if files differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes.strip() else "")


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table; its first line is the head."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))
