"""The part of a data set without a validation split that is held out to validate on: the same images in every run."""

import math
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from recipes.data.images import UNLABELLED

HELD_OUT = 0.2
"""Part of the images of each class."""


def held_out(spec: str, rows: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rows but for a fifth of each class, and that fifth; rows without a class stay.

    Args:
        spec: Of the data set, for messages.
        rows: With a column "label".

    Raises:
        ValueError: A class of one image, which cannot be both trained on and tested; or fewer held-out images than
            classes.
    """
    labels = np.asarray(rows.with_format("numpy")["label"][:])
    classless = np.flatnonzero(labels == UNLABELLED)
    _check_can_be_held_out(spec, labels[labels != UNLABELLED], rows.features["label"].names)
    halves = (rows.select(np.flatnonzero(labels != UNLABELLED)) if len(classless) else rows).train_test_split(
        HELD_OUT, stratify_by_column="label", seed=0
    )
    if len(classless):
        halves["train"] = datasets.concatenate_datasets([halves["train"], rows.select(classless)])
    return halves["train"], halves["test"]


def _check_can_be_held_out(spec: str, labels: Any, names: Sequence[str]) -> None:
    present, counts = np.unique(labels, return_counts=True)
    start = f"data set {spec!r} has no validation split, and a fifth of each class is held out for one:"
    way_out = "Add images, or name a split that is tested with --validation-split (in a folder: train/ and val/)"
    if single := [names[label] for label in present[counts == 1]]:
        shown = ", ".join(map(repr, single[:5])) + (", ..." if len(single) > 5 else "")
        raise ValueError(
            f"{start} {len(single)} of its {len(present)} classes, {shown}, have one image only. {way_out}"
        )
    held = math.ceil(HELD_OUT * len(labels))
    if held < len(present):
        raise ValueError(
            f"{start} of its {len(labels)} images that is {held}, fewer than one of each of its {len(present)} "
            f"classes; {5 * len(present) - 4} images would do. {way_out}"
        )
