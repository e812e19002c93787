"""Finding the columns of images and classes in a data set."""

import datasets

from recipes.data.notes import some
from recipes.data.options import DataSource


def columns_of(source: DataSource, features: datasets.Features) -> tuple[tuple[str, str], list[str]]:
    """The columns of the images and the labels, and notes on guesses; a `ValueError` lists all columns."""
    image = column_of(source, features, source.image_column, datasets.Image, "--image-column")
    label = column_of(source, features, source.label_column, datasets.ClassLabel, "--label-column")
    notes = []
    for named, taken, kind, flag in (
        (source.image_column, image, datasets.Image, "--image-column"),
        (source.label_column, label, datasets.ClassLabel, "--label-column"),
    ):
        others = [name for name, feature in features.items() if isinstance(feature, kind) and name != taken]
        if named is None and others:
            notes.append(f"the column {taken!r} is taken, not {some(others)} ({flag})")
    return (image, label), notes


def column_of(source: DataSource, features: datasets.Features, named: str | None, kind: type, flag: str) -> str:
    """The column with this name, or else the first of this type."""
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


def check_not_empty(source: DataSource, name: str, rows: datasets.Dataset) -> None:
    """Refuse a split without rows; its columns may have no types."""
    if len(rows) == 0:
        raise ValueError(
            f"data set {source.spec!r} has no {name} images: the split is empty. Remove it, or name another one with "
            "--training-split or --validation-split"
        )


def undecoded(source: DataSource, name: str, rows: datasets.Dataset, image: str) -> datasets.Dataset:
    """Only the column of images, as "image", undecoded; raises `ValueError` if the split has no image."""
    check_not_empty(source, name, rows)
    return (
        rows.select_columns([image]).rename_columns({image: "image"}).cast_column("image", datasets.Image(decode=False))
    )


def check_columns(source: DataSource, split: str, rows: datasets.Dataset, columns: tuple[str, str]) -> None:
    """Refuse a split without the columns that the training split has."""
    for name, flag in zip(columns, ("--image-column", "--label-column"), strict=True):
        if name not in rows.features:
            raise ValueError(
                f"data set {source.spec!r}: the split {split!r} has no column {name!r} ({flag}); it has "
                f"{', '.join(rows.features)}"
            )
