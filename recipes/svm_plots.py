"""Pictures of a linear SVM's test: a confusion matrix where images have one class, else the AP of every class."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from recipes.svm_report import SvmReport

_MOST_NAMES = 30


def plot(report: "SvmReport", folder: Path) -> None:
    """Write per_class_ap.png where images may have several classes (no confusion is defined), else confusion.png."""
    if report.protocol.uses_average_precision:
        _bars(report).savefig(folder / "per_class_ap.png", dpi=120)
    else:
        _confusion(report).savefig(folder / "confusion.png", dpi=120)


def _bars(report: "SvmReport") -> Figure:
    """AP of every class, and the mean as a line."""
    results: Any = report.results()
    names, figures = zip(*results["per_class"].items(), strict=True)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(names)), [100 * (value or 0) for value in figures], color="tab:blue")
    axes.axhline(100 * results["figure"], color="tab:red", label=f"mean AP {100 * results['figure']:.1f}%")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set(ylabel=f"AP, {report.protocol.measure} (%)", ylim=(0, 100), title=report.title)
    figure.legend(loc="outside lower right", frameon=False)
    return figure


def _confusion(report: "SvmReport") -> Figure:
    """Rows are classes, columns predictions, in parts of a class's images of all splits."""
    matrix = np.sum([split.matrix for split in report.splits], axis=0)
    parts = matrix[:, :-1] / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = report.samples.class_names
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if len(names) <= _MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="class", title=report.title)
    figure.colorbar(drawn, label="part of the class's test images")
    return figure
