"""Checking that all processes of a job read the same data set: another machine may have another one of this name."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from recipes.data.images import LabelledImages, image_source
from recipes.runtime.processes import from_main
from vgg_zoo.images.decoding import BadImageError

_SAMPLED = 32


def check_same_images(accelerator: Accelerator, *splits: LabelledImages) -> None:
    """Refuse splits whose classes, labels or images are not those of process 0; called by all processes.

    Raises:
        ValueError: They differ; the message names the split and the process.
    """
    if accelerator.num_processes > 1:
        told = gather_object([[(_digest(split), _counts(split)) for split in splits]])
        from_main(accelerator, lambda: _compare([split.name for split in splits], told))


def _compare(names: Sequence[str], told: Sequence[Sequence[tuple[str, str]]]) -> None:
    """The counts and digests of each split in each process, with those of process 0."""
    for rank, found in enumerate(told):
        for name, (digest, counts), (expected, expected_counts) in zip(names, found, told[0], strict=True):
            if digest != expected:
                raise ValueError(
                    f"the {name} images of process {rank} ({counts}) are not those of process 0 ({expected_counts}): "
                    "they differ in classes, labels or images. Give every machine the same files and the same cache of "
                    "datasets, or name a --data that all share"
                )


def _counts(split: LabelledImages) -> str:
    return f"{len(split)} of {len(split.class_names)} classes"


def _digest(split: LabelledImages) -> str:
    """A digest of class names and labels, in their order, and of some images as they are stored.

    The labels of a held-out fifth have an order that depends only on their counts, so images are included too.
    """
    digest = hashlib.sha256(repr(split.class_names).encode())
    digest.update(np.asarray(split.rows["label"][:], "<i8").tobytes())
    for index in np.linspace(0, len(split) - 1, min(len(split), _SAMPLED)).astype(int).tolist():
        with suppress(BadImageError, OSError):  # a missing image is reported where it is used
            stored = image_source(split.rows[index]["image"])
            digest.update(stored if isinstance(stored, bytes) else Path(stored).read_bytes())
    return digest.hexdigest()
