"""Mean class recall, Caltech's measure: every class weighs the same, however many images it has."""

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

NO_CLASS = -1
"""Predicted of an image that could not be decoded: an error, whatever its class."""


def confusion_matrix(predicted: Numbers, labels: Numbers, classes: int) -> Numbers:
    """Images of each class (row) by the predicted class (column).

    Args:
        predicted: (N,), classes, or `NO_CLASS`.
        labels: (N,), classes.
        classes: K.

    Returns:
        (K, K + 1), whole numbers; the last column counts `NO_CLASS`.
    """
    matrix = np.zeros((classes, classes + 1), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)  # column -1 is the last
    return matrix


def class_recalls(matrix: Numbers) -> list[float]:
    """The part of each class's images that is predicted right, in 0–1; NaN of a class without images."""
    images, right = matrix.sum(1), matrix.diagonal()
    return [float(one / all_) if all_ else float("nan") for one, all_ in zip(right, images, strict=True)]


def mean_class_recall(matrix: Numbers) -> float:
    """The mean over the classes that have images, in 0–1."""
    return float(np.nanmean(class_recalls(matrix)))
