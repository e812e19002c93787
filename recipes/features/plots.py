"""Pictures of a linear SVM's test: a confusion matrix where images have one class, else the AP of every class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recipes.features.samples import Numbers
from vgg_zoo.style import SHARES, SMALL, WIDTH, Theme, fitted, footnote, title, width_of

_MOST_NUMBERS, _MOST_NAMES = 20, 30
"""Classes of a matrix with numbers in its cells, and with names at its sides."""

_LONGEST = 1.6
"""Inches of a name."""


def bars(
    per_class: Mapping[str, float | None], mean: float, measure: str, name: str, figure: Any, theme: Theme
) -> None:
    """AP of every class, the highest on top, and the mean as a line.

    Args:
        per_class: In 0–1; None of a class that no image has.
        mean: Likewise.
        measure: "11-point" or "all-point".
        name: Of the data set.
        figure: To draw on.
        theme: Its colours.
    """
    figure.set_size_inches(WIDTH, 1.1 + 0.22 * len(per_class))
    figure.set_layout_engine("constrained")
    title(figure, f"{name}: AP of each class, {measure}, %")
    panel = figure.subplots()
    ranked = sorted(per_class.items(), key=lambda item: -1 if item[1] is None else item[1])
    ground = {"facecolor": theme.ground, "linewidth": 0, "pad": 1}  # numbers stand on the mean's line
    values = [100 * (value or 0) for _, value in ranked]
    panel.barh(range(len(ranked)), values, height=0.66, color=theme.series[0])
    for place, (_, value) in enumerate(ranked):
        text, colour = ("no image has it", theme.quiet) if value is None else (f"{100 * value:.1f}", theme.ink)
        style = {"va": "center", "fontsize": SMALL, "color": colour, "zorder": 4, "bbox": ground}
        panel.text(100 * (value or 0) + 0.8, place, text, **style)
    panel.axvline(100 * mean, color=theme.series[1], linewidth=1.2, zorder=3)
    panel.text(100 * mean, len(ranked) - 0.3, f"mean {100 * mean:.1f}", ha="center", color=theme.series[1])
    panel.set(xlim=(0, 107), ylim=(-0.6, len(ranked) - 0.4), xticks=())
    panel.set_yticks(range(len(ranked)), [fitted(name, _LONGEST, SMALL) for name, _ in ranked], color=theme.ink)
    panel.tick_params(axis="y", length=0)
    panel.spines["bottom"].set_visible(False)


def confusion(matrix: Numbers, names: Sequence[str], name: str, figure: Any, theme: Theme) -> None:
    """Rows are classes, columns predictions, in percent of a class's images.

    Args:
        matrix: (K, K + 1) counts; the last column, images that could not be decoded, is not drawn.
        names: Of the K classes.
        name: Of the data set.
        figure: To draw on.
        theme: Its colours.
    """
    percent = 100 * matrix[:, :-1] / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(5.4, max(2.4, 0.5 * len(names)))
    shown = [fitted(each, _LONGEST, SMALL) for each in names] if len(names) <= _MOST_NAMES else []
    beside = max((width_of(each, SMALL) for each in shown), default=0.3)
    upright = beside < 0.9 * side / len(names)
    size = side + beside + 1.7, side + (0.2 if upright else beside) + (1.2 if shown else 2.1)
    figure.set_size_inches(*size)
    figure.set_layout_engine("constrained")
    title(figure, name)
    panel = figure.subplots()
    image = panel.imshow(percent, interpolation="nearest", **SHARES)
    panel.set(xlabel="predicted", ylabel="class")
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    if shown:
        panel.set_xticks(range(len(names)), shown, rotation=0 if upright else 90)
        panel.set_yticks(range(len(names)), shown)
    else:
        footnote(figure, _most_confused(percent, names), theme)
    if len(names) <= _MOST_NUMBERS:
        _numbers(panel, percent)
    _colour_bar(figure, panel, image)


def _numbers(panel: Any, percent: Numbers) -> None:
    """In each cell that is not empty."""
    for (row, column), value in np.ndenumerate(percent):
        if value > 0:
            text, colour = f"{value:.0f}" if value >= 1 else "<1", "white" if value > 55 else "#1f2328"
            panel.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=colour)


def _colour_bar(figure: Any, panel: Any, image: Any) -> None:
    """As high as the matrix."""
    bar = figure.colorbar(image, cax=panel.inset_axes((1.04, 0, 0.04, 1)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label("% of the class's test images")


def _most_confused(percent: Numbers, names: Sequence[str]) -> str:
    """The five largest numbers beside the diagonal, as lines of text."""
    wrong = percent * (1 - np.eye(len(names)))
    places = np.argsort(-wrong, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(names)) for place in places]
    lines = [
        f"{wrong[pair]:.0f}% of {fitted(names[pair[0]], _LONGEST)} taken for {fitted(names[pair[1]], _LONGEST)}"
        for pair in pairs
        if wrong[pair] > 0
    ]
    return "\n".join(["Classes are numbered in their order in results.json. Most often confused:", *lines])
