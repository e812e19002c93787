"""The data of a linear SVM (Appendix B): images or boxes in them, their classes, and the splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipes.data.boxes import Box
from vgg_zoo.images.decoding import Pixels

Numbers = np.ndarray[Any, Any]
HELD_OUT_FOR_C = 0.2
"""Fraction of the training images for the choice of C (Appendix B)."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the training and test samples."""

    training: Numbers
    test: Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Images, or persons in images, in a fixed order.

    Attributes:
        names: (N,), name of each sample in reports and result files.
        images: (N,), a key that is the same for all samples of an image, so that they stay together.
        class_names: (K,).
        labels: (N, K), int8: 1 with the class, -1 without, 0 if unknown.
        read: A function from a sample's index to its image's pixels; raises `BadImageError`.
        box: A function from a sample's index to its box; raises `BadBoxError`. None if there are no boxes.
        splits: At least one split.
    """

    names: Sequence[str]
    images: Sequence[str]
    class_names: tuple[str, ...]
    labels: Numbers
    read: Callable[[int], Pixels]
    box: Callable[[int], Box] | None = None
    splits: tuple[Split, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def tests_are_labelled(self) -> bool:
        """Whether any label of a test sample is known."""
        return any(bool(self.labels[split.test].any()) for split in self.splits)


def one_hot(classes: Sequence[int] | Numbers, count: int) -> Numbers:
    """(N, K) labels of samples with one class each: 1 for it, -1 for the others."""
    labels = np.full((len(classes), count), -1, dtype=np.int8)
    labels[np.arange(len(classes)), np.asarray(classes)] = 1
    return labels


def hold_out(labels: Numbers, images: Sequence[str], seed: int) -> tuple[Numbers, Numbers]:
    """Hold out a fifth of the images, the same fraction of every class; an image of several classes counts for its
    rarest.

    Args:
        labels: (N, K), 1, -1 or 0.
        images: (N,); samples of one image are held out together or not at all.
        seed: Seed of the draw.

    Returns:
        Indices, in order, of the remaining and of the held-out samples.
    """
    names, image_of = np.unique(np.asarray(images), return_inverse=True)
    has = np.zeros((len(names), labels.shape[1]), dtype=bool)
    np.logical_or.at(has, image_of, labels > 0)
    rarity = np.where(has, has.sum(0), len(names) + 1)
    group = np.where(has.any(1), rarity.argmin(1), -1)
    order = np.lexsort((np.random.default_rng(seed).random(len(names)), group))
    held = np.zeros(len(names), dtype=bool)
    held[order[2 :: round(1 / HELD_OUT_FOR_C)]] = True
    return np.flatnonzero(~held[image_of]), np.flatnonzero(held[image_of])
