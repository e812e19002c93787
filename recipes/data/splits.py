"""Which columns of a data set hold the images and their classes, and whether every label is a class."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from recipes.data.images import UNLABELLED, LabelledImages
from recipes.data.source import DataSource, Wanted, as_source, load

HELD_OUT = 0.2
"""Part of a data set without a validation split that is held out, the same images in every run."""

VALIDATION_NAMES = ("validation", "val", "valid", "test")

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


def load_splits(source: str | DataSource) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation split of a data set.

    Raises:
        ValueError: Nothing there, no image or class column, an empty split, or a label that is no class; the message
            says what there is.
    """
    training, validation = rows_of_splits(as_source(source))
    names = tuple(training.features["label"].names)
    return LabelledImages("training", training, names), LabelledImages("validation", validation, names)


def load_test_split(source: str | DataSource, labelled: bool = True) -> LabelledImages:
    """The split that nets are tested on; a data set need not have any other.

    Args:
        source: Its `validation_split` is what is taken, else validation, val, valid or test, else the held-out fifth of
            the training images. Without labels: the named one, else test, else the only one.
        labelled: False takes the images alone, each with the label `UNLABELLED`.

    Raises:
        ValueError: As `load_splits` does.
    """
    source = as_source(source)
    if labelled:
        rows = rows_of_test(source)
        return LabelledImages("validation", rows, tuple(rows.features["label"].names))
    loaded = _load_named(source)
    rows = _named(source, loaded, source.validation_split or ("test" if len(loaded) > 1 else next(iter(loaded))))
    image = column_of(source, rows.features, source.image_column, datasets.Image, "--image-column")
    if len(rows) == 0:
        raise ValueError(f"data set {source.spec!r} has no images in the split")
    rows = rows.select_columns([image]).rename_columns({image: "image"})
    rows = rows.cast_column("image", datasets.Image(decode=False)).add_column("label", [UNLABELLED] * len(rows))
    return LabelledImages("unlabelled", rows, tuple(names_in(source.class_names)) if source.class_names else ())


def rows_of_splits(source: DataSource, more: MoreColumns | None = None) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Training and validation rows: "image", undecoded, "label", a `ClassLabel`, and more columns.

    Args:
        source: As in `load_splits`.
        more: Boxes, for example. With it, images may have the label `UNLABELLED`, if not all do.

    Raises:
        ValueError: As `load_splits` does.
    """
    loaded = _load_named(source, source.training_split, boxes=lambda split: more is not None)
    columns = columns_of(source, loaded[source.training_split].features)
    rows = _with_more(source, "training", loaded[source.training_split], columns, None, more)
    validation = _validation_name(source, loaded)
    if validation is None:
        return _held_out(rows)
    names = rows.features["label"].names
    return rows, _with_more(source, "validation", loaded[validation], columns, names, more)


def rows_of_test(source: DataSource, more: MoreColumns | None = None) -> datasets.Dataset:
    """The rows of the split that nets are tested on, as `rows_of_splits` gives them; raises as it does."""
    tested = (*VALIDATION_NAMES, source.validation_split)  # half a million annotations for training are not read
    loaded = _load_named(source, boxes=lambda split: more is not None and split in tested)
    validation = _validation_name(source, loaded)
    if validation is None:
        return rows_of_splits(source, more)[1]
    columns = columns_of(source, loaded[validation].features)
    names = None
    if source.training_split in loaded and source.training_split != validation:  # its labels name the classes
        training = loaded[source.training_split]
        names = with_classes(source, "training", training, columns, unlabelled=more is not None).features["label"].names
    return _with_more(source, "validation", loaded[validation], columns, names, more)


def _with_more(
    source: DataSource,
    name: str,
    rows: datasets.Dataset,
    columns: tuple[str, str],
    names: Sequence[str] | None,
    more: MoreColumns | None,
) -> datasets.Dataset:
    """As `with_classes`, with more columns."""
    found = with_classes(source, name, rows, columns, names, unlabelled=more is not None)
    return found if more is None else datasets.concatenate_datasets([found, more(rows)], axis=1)


def _held_out(rows: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rows but for a fifth of each class, and that fifth; rows without a class stay."""
    labels = np.asarray(rows.with_format("numpy")["label"][:])
    classless = np.flatnonzero(labels == UNLABELLED)
    halves = (rows.select(np.flatnonzero(labels != UNLABELLED)) if len(classless) else rows).train_test_split(
        HELD_OUT, stratify_by_column="label", seed=0
    )
    if len(classless):
        halves["train"] = datasets.concatenate_datasets([halves["train"], rows.select(classless)])
    return halves["train"], halves["test"]


def _load_named(source: DataSource, *needed: str, boxes: Wanted = lambda split: False) -> datasets.DatasetDict:
    """All splits; those that the source or the caller names must be there."""
    loaded = load(source.spec, boxes)
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({source.training_split: loaded})
    for name in (*needed, source.validation_split):
        if name is not None:
            _named(source, loaded, name)
    return loaded


def _named(source: DataSource, loaded: datasets.DatasetDict, name: str) -> datasets.Dataset:
    if name not in loaded:
        raise ValueError(f"data set {source.spec!r} has no split named {name!r}; it has {', '.join(loaded)}")
    return loaded[name]


def _validation_name(source: DataSource, loaded: datasets.DatasetDict) -> str | None:
    return source.validation_split or next(
        (name for name in VALIDATION_NAMES if name in loaded and name != source.training_split), None
    )
