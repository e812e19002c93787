"""Measures of linear SVMs (Appendix B): class recall of Caltech, average precision of PASCAL VOC.

VOC's development kits define average precision: at 11 recalls in 2007, the whole area from 2010 on.
"""

import numpy as np
from sklearn.metrics import confusion_matrix, recall_score

from recipes.features.samples import Numbers

ELEVEN_POINT, ALL_POINT = "11-point", "all-point"
MEAN_CLASS_RECALL = "mean class recall"

NO_CLASS = -1
"""Prediction for an image that could not be decoded: an error, whatever its class."""


def figure(measure: str, scores: Numbers, labels: Numbers) -> float:
    """Mean AP or mean class recall, in 0–1, over the classes that occur.

    Args:
        measure: "11-point" or "all-point" (mean AP), or "mean class recall".
        scores: (N, K); NaN or -inf are errors.
        labels: (N, K), 1, -1 or 0.

    Raises:
        ValueError: No sample has any of the classes.
    """
    each = per_class(measure, scores, labels)
    if np.isnan(each).all():
        raise ValueError(f"none of the {labels.shape[1]} classes is in any of the {len(labels)} images: no mean")
    return float(np.nanmean(each))


def per_class(measure: str, scores: Numbers, labels: Numbers) -> list[float]:
    """AP or recall of every class, in 0–1; NaN for a class without samples. Arguments as in `figure`."""
    if measure == MEAN_CLASS_RECALL:
        return class_recalls(likeliest(scores), labels.argmax(1), labels.shape[1])
    ranked = _ranked(scores)
    return [average_precision(ranked[:, k], labels[:, k], measure) for k in range(labels.shape[1])]


def likeliest(scores: Numbers) -> Numbers:
    """(N,): the class with the highest of (N, K) scores; `NO_CLASS` for a row of NaN."""
    return np.where(np.isnan(scores).any(1), NO_CLASS, _ranked(scores).argmax(1))


def _ranked(scores: Numbers) -> Numbers:
    """Scores in which samples without a score come last, as in VOC's kit."""
    return np.where(np.isnan(scores), -np.inf, scores)


def average_precision(scores: Numbers, labels: Numbers, definition: str) -> float:
    """Average precision of one class.

    Args:
        scores: (N,), larger if the class is likelier; -inf for a missing score. Of equal scores, the earlier image
            comes first, as in the kit's stable sort.
        labels: (N,), 1 with the class, -1 without, 0 difficult, which is ignored.
        definition: "11-point" or "all-point".

    Returns:
        AP in 0–1; NaN if no image has the class.

    Raises:
        ValueError: The definition is unknown, or the shapes differ.
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
    if definition == ELEVEN_POINT:  # recall ≥ 0, 0.1, ..., 1, in whole numbers: 0.1 × 3 > 0.3 to a computer
        return float(np.mean([precision[10 * found >= tenth * found[-1]].max() for tenth in range(11)]))
    best = np.maximum.accumulate(precision[::-1])[::-1]  # no precision to the right is larger
    return float((np.diff(found, prepend=0) * best).sum() / found[-1])


def confusion(predicted: Numbers, labels: Numbers, classes: int) -> Numbers:
    """Images of each class (row) by the predicted class (column).

    Args:
        predicted: (N,), classes, or `NO_CLASS`.
        labels: (N,), classes.
        classes: K.

    Returns:
        (K, K + 1), whole numbers; the last column counts `NO_CLASS`.
    """
    matrix: Numbers = confusion_matrix(labels, predicted, labels=[*range(classes), NO_CLASS])
    return matrix[:classes]


def class_recalls(predicted: Numbers, labels: Numbers, classes: int) -> list[float]:
    """The fraction of each class's images that is predicted correctly, in 0–1; NaN for a class without images."""
    recalls: Numbers = recall_score(labels, predicted, labels=range(classes), average=None, zero_division=np.nan)
    return recalls.tolist()
