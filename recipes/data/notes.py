"""Notes on what a reader guessed or ignored: sentences that the main process prints once."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import datasets


class Noted(datasets.DatasetDict):
    """The splits that a reader found, and notes about them.

    Attributes:
        notes: A sentence for each thing that was guessed or ignored.
        names: Other names of the splits, such as those of their folders: {"Training": "train"}.
    """

    def __init__(
        self, splits: Mapping[str, datasets.Dataset], notes: Iterable[str] = (), names: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(splits)
        self.notes: tuple[str, ...] = tuple(notes)
        self.names: dict[str, str] = dict(names or {})


def say(notes: Iterable[str]) -> None:
    """Print notes, only in the main process; launchers set RANK to the number of each process."""
    if os.environ.get("RANK", "0") == "0":
        for note in notes:
            print(f"note: {note}")


def some(names: Iterable[Any], most: int = 3) -> str:
    """The first names of many, quoted, for a message."""
    names = list(names)
    return ", ".join([*map(repr, map(str, names[:most])), *(["..."] if len(names) > most else [])])


def many(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 image", "2 images"."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
