"""Which columns of a data set hold the images and their classes, and whether every label is a class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from recipes.image_table import UNLABELLED
from recipes.loading import DataSource

MoreColumns = Callable[[datasets.Dataset], datasets.Dataset]
"""From a split as it is loaded to a table of columns beside "image" and "label", a row for each of its rows."""


def columns_of(source: DataSource, features: datasets.Features) -> tuple[str, str]:
    """The columns of the images and of the labels; raises `ValueError` with a list of all."""
    return (
        column_of(source, features, source.image_column, datasets.Image, "--image-column"),
        column_of(source, features, source.label_column, datasets.ClassLabel, "--label-column"),
    )


def column_of(source: DataSource, features: datasets.Features, named: str | None, kind: type, flag: str) -> str:
    """The column of that name, or else the first of that type."""
    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    if named is not None and named not in features:
        raise ValueError(f"data set {source.spec!r} has no column {named!r} ({flag}); it has {columns}")
    of_kind = [named] if named else [name for name, feature in features.items() if isinstance(feature, kind)]
    if not of_kind:
        raise ValueError(
            f"data set {source.spec!r} needs a column of type Image and one of type ClassLabel; it has {columns}. "
            f"Name one with {flag}; in a folder of images every class has a folder of its own"
        )
    return of_kind[0]


def with_classes(
    source: DataSource,
    name: str,
    rows: datasets.Dataset,
    columns: tuple[str, str],
    names: Sequence[str] | None = None,
    unlabelled: bool = False,
) -> datasets.Dataset:
    """The two columns as "image", undecoded, and "label", a `ClassLabel`; every label is checked to be a class.

    Args:
        source: Its file of class names, if there is one, comes before `names`.
        name: Of the split, for messages.
        rows: Of the split, as it was loaded.
        columns: Of the images and of the labels.
        names: Of the classes; None takes those of the column.
        unlabelled: Some images, not all, may have the label `UNLABELLED`.

    Raises:
        ValueError: No images, or labels that are no classes.
    """
    image, label = columns
    if len(rows) == 0:
        raise ValueError(f"data set {source.spec!r} has no {name} images")
    rows = rows.select_columns([image, label]).rename_columns({image: "image", label: "label"})
    rows = rows.cast_column("image", datasets.Image(decode=False))
    kind = rows.features["label"]
    if source.class_names is not None:
        names = names_in(source.class_names)
    elif names is None:
        names = kind.names if isinstance(kind, datasets.ClassLabel) else _names_of(rows["label"])
    labels = rows.with_format("numpy")["label"][:]
    _check_labels(f"data set {source.spec!r}", name, labels, names, unlabelled)
    if labels.dtype.kind in "OU":
        places = {one: place for place, one in enumerate(names)}
        labels = np.array([places[label] for label in labels], np.int64)
    # A new column beside the images: a cast of the old one would copy every image into a file of the cache.
    return rows.remove_columns("label").add_column("label", labels, feature=datasets.ClassLabel(names=list(names)))


def _check_labels(data_set: str, name: str, labels: Any, names: Sequence[str], unlabelled: bool) -> None:
    classes = set(names) if labels.dtype.kind in "OU" else range(len(names))
    values = labels.tolist()
    wrong = [place for place, value in enumerate(values) if value not in classes]
    if unlabelled and any(value != UNLABELLED for value in values):
        wrong = [place for place in wrong if values[place] != UNLABELLED]
    if wrong:
        raise ValueError(
            f"{data_set}: {len(wrong)} of {len(values)} {name} labels are none of the {len(names)} "
            f"classes; the first is {values[wrong[0]]!r}, of image {wrong[0]}. Is the split unlabelled?"
        )


def names_in(path: Path) -> list[str]:
    """The lines of a file of class names; raises `ValueError` without one."""
    if not path.is_file():
        raise ValueError(f"no file of class names {str(path)!r}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _names_of(labels: Sequence[Any]) -> list[str]:
    """Names of the classes in a column without any: its texts in order, or the numbers from 0."""
    found = {label for label in labels if label is not None}
    if all(isinstance(label, int) for label in found):
        return [str(label) for label in range(max(found, default=0) + 1)]
    return sorted(map(str, found))
