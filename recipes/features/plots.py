"""Pictures of a linear SVM's test: a confusion matrix where images have one class, else the AP of every class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from recipes.features.samples import Numbers

_MOST_NAMES = 30


def bars(per_class: Mapping[str, float | None], mean: float, measure: str, title: str) -> Figure:
    """AP of every class, and the mean as a line.

    Args:
        per_class: In 0–1; None of a class that no image has.
        mean: Likewise.
        measure: "11-point" or "all-point".
        title: Above it.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(per_class)), [100 * (value or 0) for value in per_class.values()], color="tab:blue")
    axes.axhline(100 * mean, color="tab:red", label=f"mean AP {100 * mean:.1f}%")
    axes.set_xticks(range(len(per_class)), list(per_class), rotation=60, ha="right")
    axes.set(ylabel=f"AP, {measure} (%)", ylim=(0, 100), title=title)
    figure.legend(loc="outside lower right", frameon=False)
    return figure


def confusion(matrix: Numbers, names: Sequence[str], title: str) -> Figure:
    """Rows are classes, columns predictions, in parts of a class's images.

    Args:
        matrix: (K, K + 1) counts; the last column, images that could not be decoded, is not drawn.
        names: Of the K classes.
        title: Above it.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    parts = matrix[:, :-1] / np.maximum(matrix.sum(1, keepdims=True), 1)
    shown = names if len(names) <= _MOST_NAMES else None
    drawn = ConfusionMatrixDisplay(parts, display_labels=shown)
    scale = {"vmin": 0, "vmax": 1, "interpolation": "nearest"}
    drawn.plot(include_values=False, cmap="Blues", xticks_rotation="vertical", ax=axes, im_kw=scale)
    if shown is None:
        axes.set(xticks=(), yticks=())
    axes.set(xlabel="predicted", ylabel="class", title=title)
    drawn.im_.colorbar.set_label("part of the class's test images")
    return figure
