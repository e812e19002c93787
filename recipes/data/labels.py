"""The class of each row of a split, matched by name because two splits may number the classes differently."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from recipes.data.images import UNLABELLED
from recipes.data.notes import many, some
from recipes.data.options import DataSource

_MOST_CLASSES = 1_000_000


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set according to one split.

    Attributes:
        names: Names in the order of the labels.
        number: From a class's name in the split's column to its label.
        told: The names of the column's numbers, in order; None if it has texts.
    """

    names: tuple[str, ...]
    number: dict[str, int]
    told: tuple[str, ...] | None


class LabelColumn:
    """The stored labels of a split and the classes that they name.

    Args:
        source: The data source, for messages.
        column: Name of the column.
        rows: The split.

    Raises:
        ValueError: The column has lists or anything else that is not one class a row.
    """

    def __init__(self, source: DataSource, column: str, rows: datasets.Dataset) -> None:
        self.named_as = f"data set {source.spec!r}, column {column!r}"
        kind = rows.features[column]
        self.told = tuple(kind.names) if isinstance(kind, datasets.ClassLabel) else None
        if self.told is None and not (isinstance(kind, datasets.Value) and _is_class(kind.dtype)):
            raise ValueError(
                f"{self.named_as} holds {_kind(kind)}, not one class for each image; name a column of class numbers or "
                "names with --label-column"
            )
        stored = rows.select_columns([column]).with_format("arrow")[:][column].to_pylist() if len(rows) else []
        self.values = [_plain(value) for value in stored]

    def named(self, told: Sequence[str] | None = None) -> dict[Any, str]:
        """The class's name for each value; numbers refer to `told` if the column has no names."""
        told = self.told if self.told is not None else told
        values = set(self.values)
        if told is not None:
            numbers = {value for value in values if isinstance(value, int) and 0 <= value < len(told)}
            texts = {value: value for value in values if isinstance(value, str)}
            return {value: told[value] for value in numbers} | texts
        return {value: str(value) for value in values if value is not None and value != UNLABELLED}

    def classes(self, class_names: Path | None) -> tuple[Classes, list[str]]:
        """The classes of this split, and notes on guesses; a file of names has priority.

        Raises:
            ValueError: The file does not exist, or some of its names are the column's own, in another order.
        """
        if class_names is not None:
            return self._from_file(class_names), []
        if self.told is not None:
            return Classes(self.told, {name: place for place, name in enumerate(self.told)}, self.told), []
        found = {value for value in self.values if value is not None and value != UNLABELLED}
        if not all(isinstance(value, int) for value in found):
            names = tuple(sorted(map(str, found)))
            return Classes(names, {name: place for place, name in enumerate(names)}, None), []
        count = max(found, default=-1) + 1
        if count > _MOST_CLASSES:
            raise ValueError(
                f"{self.named_as}: its largest label is {count - 1:,}; labels are numbers from 0 to the number of "
                "classes, or texts"
            )
        names = tuple(map(str, range(count)))
        holes = count - len({value for value in found if value >= 0})
        said = (
            f"{self.named_as}: labels are numbers up to {count - 1}, so there are {count:,} classes; {holes:,} of the "
        )
        notes = [f"{said}numbers do not occur. Texts as labels make a class of each that occurs"] if holes else []
        return Classes(names, {name: place for place, name in enumerate(names)}, names), notes if holes else []

    def _from_file(self, file: Path) -> Classes:
        names = names_in(file)
        number = {name: place for place, name in enumerate(names)}
        texts = any(isinstance(value, str) for value in self.values)
        if self.told is None:
            by_number = {str(place): place for place in range(len(names))}
            return Classes(tuple(names), number if texts else number | by_number, None if texts else tuple(by_number))
        common = [name for name in self.told if name in number]
        if len(common) == len(self.told):
            return Classes(tuple(names), number, self.told)
        moved = [name for place, name in enumerate(self.told) if number.get(name, place) != place]
        if moved:
            raise ValueError(
                f"{file} and {self.named_as} both name {some(common)}, in different orders, and the file lacks "
                f"{some(name for name in self.told if name not in number)}. Let it name all of them, or only others"
            )
        return Classes(tuple(names), dict(zip(self.told, range(len(names)), strict=False)), self.told)

    def numbers(
        self, classes: Classes, source: DataSource, split: str, unlabelled: bool = False
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The label of each row among some classes.

        Args:
            classes: Classes of this split or of another one.
            source: The data source, for messages.
            split: Name of the split, for messages.
            unlabelled: Some rows may have the label `UNLABELLED`, but not all.

        Raises:
            ValueError: A label is no class.
        """
        named = self.named(classes.told)
        number = {value: classes.number[name] for value, name in named.items() if name in classes.number}
        if unlabelled and number:
            number[UNLABELLED] = UNLABELLED
        wrong = [place for place, value in enumerate(self.values) if value not in number]
        if wrong:
            raise ValueError(self._wrong(wrong, named, classes, f"data set {source.spec!r}", split))
        return np.array([number[value] for value in self.values], np.int64)

    def _wrong(self, wrong: list[int], named: dict[Any, str], classes: Classes, data_set: str, split: str) -> str:
        unknown = Counter(named[self.values[place]] for place in wrong if self.values[place] in named)
        first = self.values[wrong[0]]
        if unknown:
            counts = ", ".join(f"{name!r} ({count})" for name, count in list(unknown.items())[:5])
            way_out = (
                f"These are not among the classes {some(classes.names)}: {counts}{', ...' * (len(unknown) > 5)}. Add "
                "training images of them, leave these images out, or give --class-names FILE with all names"
            )
        elif {self.values[place] for place in wrong} <= {None, UNLABELLED}:
            way_out = "Is the split unlabelled? --validation-split names another one"
        else:
            way_out = f"Labels are numbers from 0 to {len(classes.names) - 1}"
        return (
            f"{data_set}: {len(wrong)} of {len(self.values)} {split} labels are none of the {len(classes.names)} "
            f"classes; the first is {named.get(first, first)!r}, of image {wrong[0]}. {way_out}"
        )


def names_in(path: Path) -> list[str]:
    """The lines of a file of class names; raises `ValueError` without one."""
    if not path.is_file():
        raise ValueError(f"no file of class names {str(path)!r}")
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def extended(classes: Classes, column: LabelColumn, split: str) -> tuple[Classes, list[str]]:
    """The classes, followed by those that only the test split has, and a note about these."""
    found = {name for name in column.named(classes.told).values() if name not in classes.number}
    if not found:
        return classes, []
    names = (*classes.names, *sorted(found))
    number = classes.number | {name: place for place, name in enumerate(names) if name in found}
    said = f"{many(len(found), 'class is', 'classes are')} in the {split} split and not in the training split: "
    return Classes(names, number, classes.told), [said + some(sorted(found), 10)]


def without_images(classes: Sequence[str], labels: Any, split: str) -> list[str]:
    """A note if a split has no image of some classes."""
    there = set(np.unique(labels).tolist())
    lacking = [name for place, name in enumerate(classes) if place not in there]
    if not lacking:
        return []
    return [f"{len(lacking)} of {many(len(classes), 'class', 'classes')} have no {split} image: {some(lacking, 10)}"]


def _is_class(dtype: str) -> bool:
    return dtype in ("string", "large_string", "bool", "null", "float32", "float64") or "int" in dtype


def _plain(value: Any) -> Any:
    """Unchanged texts and whole numbers, truth values as texts, and None for missing values."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):  # a table with missing numbers has floats
        return int(value) if value.is_integer() else None if np.isnan(value) else str(value)
    return value


def _kind(feature: Any) -> str:
    if isinstance(feature, (list, datasets.List, datasets.LargeList)) or type(feature).__name__ == "Sequence":
        return "lists"
    return f"{feature.dtype} values" if isinstance(feature, datasets.Value) else type(feature).__name__
