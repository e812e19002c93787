"""Average precision as PASCAL VOC's development kits define it: at 11 recalls in 2007, the whole area from 2010 on."""

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

ELEVEN_POINT, ALL_POINT = "11-point", "all-point"


def average_precision(scores: Numbers, labels: Numbers, definition: str) -> float:
    """Average precision of one class.

    Args:
        scores: (N,), larger where the class is likelier; -inf where there is none. Among equal scores the earlier
            image comes first, as in the kit's stable sort.
        labels: (N,), 1 with the class, -1 without, 0 difficult: not counted at all.
        definition: "11-point" or "all-point".

    Returns:
        In 0–1; NaN where no image has the class.

    Raises:
        ValueError: Another definition, or shapes that differ.
    """
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f"scores and labels must be as many numbers each; got {scores.shape} and {labels.shape}")
    if definition not in (ELEVEN_POINT, ALL_POINT):
        raise ValueError(f"unknown average precision {definition!r}; choose {ELEVEN_POINT} or {ALL_POINT}")
    counted = labels != 0
    order = np.argsort(-scores[counted], kind="stable")
    found = np.cumsum(labels[counted][order] > 0)  # true positives among the first k
    if len(found) == 0 or found[-1] == 0:
        return float("nan")
    precision = found / np.arange(1, len(found) + 1)
    return _eleven_point(found, precision) if definition == ELEVEN_POINT else _all_point(found, precision)


def _eleven_point(found: Numbers, precision: Numbers) -> float:
    """The mean of the largest precision at recall ≥ 0, 0.1, ..., 1, in whole numbers: 0.1 × 3 > 0.3 to a computer."""
    return float(np.mean([precision[10 * found >= tenth * found[-1]].max() for tenth in range(11)]))


def _all_point(found: Numbers, precision: Numbers) -> float:
    """The area under precision made monotonic: to the right no larger precision is left unused."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    gained = np.diff(found, prepend=0)
    return float((gained * best).sum() / found[-1])


def mean_average_precision(scores: Numbers, labels: Numbers, definition: str) -> tuple[float, list[float]]:
    """Mean AP over the classes that some image has, and the AP of every class.

    Args:
        scores: (N, K).
        labels: (N, K), 1, -1 or 0.
        definition: As in `average_precision`.

    Raises:
        ValueError: No class is in any of the images.
    """
    each = [average_precision(scores[:, k], labels[:, k], definition) for k in range(labels.shape[1])]
    if np.isnan(each).all():
        raise ValueError(f"none of the {labels.shape[1]} classes is in any of the {len(labels)} images: no mean AP")
    return float(np.nanmean(each)), each
