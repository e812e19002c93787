"""What values of options may be: numbers in a range, files and folders that are there, outputs that are not.

Most functions here read an option's text for argparse (`type=`); the words of their ValueError are what a user reads.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from command_line.parser import near


def whole(least: int = 1) -> Callable[[str], int]:
    """Reads a whole number of at least `least`."""

    def read(text: str) -> int:
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if number is None or number < least:
            raise ValueError(f"must be a whole number of at least {least}; got {text}")
        return number

    return read


def positive(text: str) -> float:
    """Reads a number above 0."""
    return _number(text, "a number above 0", lambda number: 0 < number < math.inf)


def fraction(text: str) -> float:
    """Reads a number from 0 to 1."""
    return _number(text, "a number from 0 to 1", lambda number: 0 <= number <= 1)


def _number(text: str, what: str, fits: Callable[[float], bool]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise ValueError(f"must be {what}; got {text}")
    return number


def file_there(text: str) -> Path:
    """Reads the path of a file that exists."""
    path = Path(text)
    if not path.is_file():
        raise ValueError(
            f"{text} is a folder; name a file" if path.is_dir() else f"there is no file {text}{beside(path)}"
        )
    return path


def folder_with(*files: str, of: str) -> Callable[[str], Path]:
    """Reads the path of a folder that exists.

    Args:
        *files: That it must hold.
        of: What such a folder is, in words: "the folder of a trained net".
    """

    def read(text: str) -> Path:
        folder = Path(text)
        if not folder.is_dir():
            raise ValueError(f"there is no folder {text}{beside(folder)}; name {of}")
        if missing := [name for name in files if not (folder / name).is_file()]:
            raise ValueError(f"{text} has no {', '.join(missing)}; name {of}")
        return folder

    return read


def beside(path: Path) -> str:
    """What lies where a path should be and has nearly its name, as a part of a sentence."""
    names: list[str] = []
    with suppress(OSError):  # there is no such place, or it cannot be read
        names = [each.name for each in path.parent.iterdir()]
    return near(path.name, names)


def check_new(paths: Iterable[Path], overwrite: bool) -> None:
    """The rule of all outputs: what is there is replaced with --overwrite only, and else refused at once.

    Args:
        paths: Files, or folders that are written whole.
        overwrite: They may be there.

    Raises:
        ValueError: One is there; or it cannot be, for a file has the name of its folder.
    """
    for path in paths:
        if path.parent.exists() and not path.parent.is_dir():
            raise ValueError(f"{path.parent} is a file; name another folder")
        if path.exists() and not overwrite:
            raise ValueError(f"{path} is there already; name another place, or replace it with --overwrite")
