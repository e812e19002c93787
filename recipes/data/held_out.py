"""Holding out a part of a data set that has no validation split: the same images in every run."""

import math
from typing import Any

import datasets
import numpy as np

from recipes.data.images import UNLABELLED
from recipes.data.notes import many, some

HELD_OUT = 0.2
"""Fraction of the images of each class."""


def held_out(spec: str, rows: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset, list[str]]:
    """The rows without a fifth of each class, this fifth, and notes about it.

    Rows without a class are used for training. In a small set, at least one image of each class is held out; a class
    with one image is trained on and not tested.

    Args:
        spec: Name of the data set, for messages.
        rows: Rows with a column "label".

    Raises:
        ValueError: No class has two images.
    """
    labels = np.asarray(rows.with_format("numpy")["label"][:])
    present, counts = np.unique(labels[labels != UNLABELLED], return_counts=True)
    if not (counts > 1).any():
        raise ValueError(
            f"data set {spec!r} has no validation split, and a part of each class is held out for one: each class of "
            f"its {len(present)} has one image only. Add images, or name a split that is tested with "
            "--validation-split (in a folder: train/ and val/)"
        )
    single = [rows.features["label"].names[label] for label in present[counts == 1]]
    if not single and math.ceil(HELD_OUT * counts.sum()) >= len(present):
        training, tested = _a_fifth(rows, labels)
        return training, tested, [f"{many(len(tested), 'image')} of {len(rows)}, a fifth, are held out"]
    training, tested = _of_each_class(rows, labels)
    notes = [f"{many(len(tested), 'image')} of {len(rows)}, a fifth and at least one of each class, are held out"]
    if single:
        notes.append(f"classes of one image are trained on and not tested: {some(single)}")
    return training, tested, notes


def _a_fifth(rows: datasets.Dataset, labels: Any) -> tuple[datasets.Dataset, datasets.Dataset]:
    classless = np.flatnonzero(labels == UNLABELLED)
    halves = (rows.select(np.flatnonzero(labels != UNLABELLED)) if len(classless) else rows).train_test_split(
        HELD_OUT, stratify_by_column="label", seed=0
    )
    if len(classless):
        halves["train"] = datasets.concatenate_datasets([halves["train"], rows.select(classless)])
    return halves["train"], halves["test"]


def _of_each_class(rows: datasets.Dataset, labels: Any) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Hold out images where `train_test_split` cannot; the draw of a class depends only on its own name."""
    tested = np.zeros(len(labels), bool)
    for label in set(labels.tolist()) - {UNLABELLED}:
        places = np.flatnonzero(labels == label)
        if len(places) > 1:
            count = max(1, round(HELD_OUT * len(places)))
            tested[np.random.default_rng([0, label]).permutation(places)[:count]] = True
    return rows.select(np.flatnonzero(~tested)), rows.select(np.flatnonzero(tested))
