"""The splits of a data set that a net is trained and tested on, with their classes matched by name."""

from collections.abc import Callable
from typing import NamedTuple

import datasets

from recipes.data.columns import check_columns, check_not_empty, column_of, columns_of, undecoded
from recipes.data.held_out import held_out
from recipes.data.images import UNLABELLED, LabelledImages
from recipes.data.labels import Classes, LabelColumn, extended, names_in, without_images
from recipes.data.notes import Noted, many, say, some
from recipes.data.options import DataSource
from recipes.data.source import Wanted, as_source, load

VALIDATION_NAMES = ("validation", "val", "valid", "test")

MoreColumns = Callable[[datasets.Dataset], datasets.Dataset]
"""A function from a loaded split to a table of further columns besides "image" and "label", with the same rows."""


class Rows(NamedTuple):
    """Two splits, and notes on what was guessed and ignored.

    Attributes:
        training: The columns "image", undecoded, "label", a `ClassLabel`, and more.
        validation: The same.
        notes: A sentence each.
    """

    training: datasets.Dataset
    validation: datasets.Dataset
    notes: tuple[str, ...]


def load_splits(source: str | DataSource, tell: bool = True) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation split of a data set.

    Args:
        source: The data set.
        tell: Print the splits' `notes`: what was guessed and ignored.

    Raises:
        ValueError: The data set does not exist, has no image or class column, an empty split, or a label that is no
            class; the message lists what exists.
    """
    training, validation, notes = rows_of_splits(as_source(source), tell=tell)
    names = tuple(training.features["label"].names)
    return (
        LabelledImages("training", training, names, notes),
        LabelledImages("validation", validation, names, notes),
    )


def load_test_split(source: str | DataSource, labelled: bool = True) -> LabelledImages:
    """The test split; a data set may have no other split.

    Args:
        source: The data set. The test split is its `validation_split`, or else validation, val, valid or test, or else
            the held-out fifth of the training images. Without labels, it is the named split, or else test, or else the
            only one.
        labelled: False takes only the images, each with the label `UNLABELLED`.

    Raises:
        ValueError: As in `load_splits`.
    """
    source = as_source(source)
    if labelled:
        rows, notes = rows_of_test(source)
        return LabelledImages("validation", rows, tuple(rows.features["label"].names), notes)
    loaded = _load_named(source)
    found = _named(source, loaded, source.validation_split or ("test" if len(loaded) > 1 else next(iter(loaded))))
    image = column_of(source, found.features, source.image_column, datasets.Image, "--image-column")
    rows = undecoded(source, "unlabelled", found, image)
    rows = rows.add_column("label", [UNLABELLED] * len(rows))
    say(loaded.notes)
    names = tuple(names_in(source.class_names)) if source.class_names else ()
    return LabelledImages("unlabelled", rows, names, loaded.notes)


def rows_of_splits(source: DataSource, more: MoreColumns | None = None, tell: bool = True) -> Rows:
    """Training and validation rows.

    Args:
        source: As in `load_splits`.
        more: Further columns, such as boxes. With it, some images may have the label `UNLABELLED`, but not all.
        tell: Print the notes.

    Raises:
        ValueError: As in `load_splits`.
    """
    found = _both(source, more)
    if tell:
        say(found.notes)
    return found


def rows_of_test(source: DataSource, more: MoreColumns | None = None) -> tuple[datasets.Dataset, tuple[str, ...]]:
    """The rows of the test split, as from `rows_of_splits`, and notes; errors are the same."""
    tested = (*VALIDATION_NAMES, source.validation_split)  # half a million annotations for training are not read
    loaded = _load_named(source, boxes=lambda split: more is not None and split in tested)
    validation, notes = _validation_name(source, loaded)
    if validation is None:
        _, rows, notes = _both(source, more, None if more else loaded)
    else:
        check_not_empty(source, "validation", loaded[validation])
        columns, guessed = columns_of(source, loaded[validation].features)
        training = _training_labels(source, loaded, validation, columns[1])
        rows, more_notes = _tested(source, loaded[validation], columns, training, more)
        notes = (*loaded.notes, *guessed, *notes, *more_notes)
    say(notes)
    return rows, notes


def _both(source: DataSource, more: MoreColumns | None, loaded: Noted | None = None) -> Rows:
    loaded = loaded or _load_named(source, source.training_split, boxes=lambda split: more is not None)
    training = _named(source, loaded, source.training_split)
    check_not_empty(source, "training", training)
    columns, guessed = columns_of(source, training.features)
    labels = LabelColumn(source, columns[1], training)
    classes, told = labels.classes(source.class_names)
    rows = _with_labels(source, "training", training, columns, labels, classes, more)
    lacking = without_images(classes.names, rows.with_format("numpy")["label"][:], "training")
    validation, chosen = _validation_name(source, loaded)
    notes = (*loaded.notes, *guessed, *told, *lacking, *chosen)
    if validation is None:
        training_part, tested_part, (held, *single) = held_out(source.spec, rows)
        others = [name for name in loaded if loaded[name] is not training]
        beside = f"; other splits, as {some(others)}, are ignored (--validation-split)" if others else ""
        notes += (f"no validation split: {held}{beside}", *single)
        return Rows(training_part, tested_part, notes)
    found = loaded[validation]
    check_not_empty(source, "validation", found)
    check_columns(source, validation, found, columns)
    own = LabelColumn(source, columns[1], found)
    tested = _with_labels(source, "validation", found, columns, own, classes, more)
    notes += tuple(_compared(labels, own, classes, tested))
    return Rows(rows, tested, notes)


def _compared(training: LabelColumn, own: LabelColumn, classes: Classes, tested: datasets.Dataset) -> list[str]:
    """Notes on a validation split, compared with the training split."""
    notes = without_images(classes.names, tested.with_format("numpy")["label"][:], "validation")
    common = {*(training.told or ())} & {*(own.told or ())}
    first, second = ([name for name in told or () if name in common] for told in (training.told, own.told))
    if first != second:
        notes.append("the validation split has its classes in another order than the training split; names decide")
    return notes


def _training_labels(source: DataSource, loaded: Noted, validation: str, label: str) -> LabelColumn | None:
    """The training split's labels, which name the classes, if it exists and is not the test split."""
    name = loaded.names.get(source.training_split, source.training_split)
    if name == validation or name not in loaded or label not in loaded[name].features:
        return None
    found = LabelColumn(source, label, loaded[name])
    return found if found.told or found.values else None


def _tested(
    source: DataSource,
    rows: datasets.Dataset,
    columns: tuple[str, str],
    training: LabelColumn | None,
    more: MoreColumns | None,
) -> tuple[datasets.Dataset, list[str]]:
    """The rows of the test split and notes: its classes are those of the training split, followed by its own."""
    own = LabelColumn(source, columns[1], rows)
    classes, notes = (training or own).classes(source.class_names)
    if training is None:
        return _with_labels(source, "validation", rows, columns, own, classes, more), notes
    training.numbers(classes, source, "training", unlabelled=more is not None)  # this checks them too
    if source.class_names is None:
        classes, others = extended(classes, own, "validation")
        notes += others
    tested = _with_labels(source, "validation", rows, columns, own, classes, more)
    return tested, notes + _compared(training, own, classes, tested)


def _with_labels(
    source: DataSource,
    name: str,
    rows: datasets.Dataset,
    columns: tuple[str, str],
    labels: LabelColumn,
    classes: Classes,
    more: MoreColumns | None,
) -> datasets.Dataset:
    """The undecoded images, their "label", a `ClassLabel`, and more columns; every label is checked to be a class."""
    # A new column, because a cast of the old one would copy every image into a file of the cache.
    found = undecoded(source, name, rows, columns[0])
    numbers = labels.numbers(classes, source, name, unlabelled=more is not None)
    found = found.add_column("label", numbers, feature=datasets.ClassLabel(names=list(classes.names)))
    return found if more is None else datasets.concatenate_datasets([found, more(rows)], axis=1)


def _load_named(source: DataSource, *needed: str, boxes: Wanted = lambda split: False) -> Noted:
    """All splits; those that the source or the caller names must exist."""
    loaded = load(source.spec, boxes)
    if isinstance(loaded, datasets.Dataset):
        loaded = {source.training_split: loaded}
    loaded = loaded if isinstance(loaded, Noted) else Noted(loaded)
    for name in (*needed, source.validation_split):
        if name is not None:
            _named(source, loaded, name)
    return loaded


def _named(source: DataSource, loaded: Noted, name: str) -> datasets.Dataset:
    known = loaded.names.get(name, name)
    if known not in loaded:
        raise ValueError(
            f"data set {source.spec!r} has no split named {name!r}; it has {', '.join(loaded)} (--training-split, "
            "--validation-split)"
        )
    return loaded[known]


def _validation_name(source: DataSource, loaded: Noted) -> tuple[str | None, tuple[str, ...]]:
    """The test split, if there is one, and notes on what was guessed."""
    if source.validation_split is not None:
        return loaded.names.get(source.validation_split, source.validation_split), ()
    training = loaded.names.get(source.training_split, source.training_split)
    notes: list[str] = []
    for name in VALIDATION_NAMES:
        if name not in loaded or name == training:
            continue
        if name == "test" and _unlabelled(source, loaded[name]):
            notes.append(f"the split 'test' has no labels ({many(len(loaded[name]), 'image')}), and is ignored")
            continue
        if name == "test":
            notes.append("no validation split: the split 'test' is taken for it (--validation-split)")
        return name, tuple(notes)
    return None, tuple(notes)


def _unlabelled(source: DataSource, rows: datasets.Dataset) -> bool:
    """Whether no image of a split has a label."""
    try:
        label = column_of(source, rows.features, source.label_column, datasets.ClassLabel, "--label-column")
    except ValueError:
        return True
    return len(rows) > 0 and set(rows.select_columns([label]).with_format("arrow")[:][label].unique().to_pylist()) <= {
        None,
        UNLABELLED,
    }
