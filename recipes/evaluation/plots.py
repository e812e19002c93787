"""The tables of class errors as a picture: a line for each result, its errors with their intervals, and the paper's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgg_zoo.style import SMALL, TEXT, TITLE, WIDTH, Sheet, Theme, cut_to, width_of

HEADS = ("net", "S", "Q", "protocol")
PANELS = ("top-1 error, %", "top-5 error, %")

_MARGIN, _LINE, _GAP = 0.2, 0.25, 0.2
_TITLE, _AXIS, _NUMBER = 0.36, 0.45, 0.36
_WIDEST = (2.2, 1.0, 1.0, 2.0)
_LEAST = 1.5
"""Inches of the columns of text at the most, and of a panel at the least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """An error in percent.

    Attributes:
        ours: What was measured.
        interval: Its 95% interval.
        paper: The paper's; None where it has none of these nets on these images.
    """

    ours: float
    interval: tuple[float, float]
    paper: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A result.

    Attributes:
        cells: What it is of, by `HEADS`.
        points: By `PANELS`.
    """

    cells: Sequence[str]
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The results of one data set.

    Attributes:
        title: Above them.
        tables: By the name of the table that they are in; at least one, none of them empty.
    """

    title: str
    tables: Mapping[str, Sequence[Line]]

    @property
    def lines(self) -> list[Line]:
        """Of all tables."""
        return [line for lines in self.tables.values() for line in lines]

    @property
    def down(self) -> float:
        """Inches from the heads to the axes."""
        return _LINE * (1 + len(self.tables) + len(self.lines))


def draw(blocks: Sequence[Block], figure: Any, theme: Theme) -> None:
    """Block below block, and at the bottom what the marks are.

    Args:
        blocks: At least one.
        figure: To draw on.
        theme: Its colours.
    """
    widths = _widths(blocks)
    across = max(WIDTH - 2 * _MARGIN - sum(widths) - _GAP * len(widths), len(PANELS) * (_LEAST + _NUMBER + _GAP))
    height = sum(_TITLE + block.down + _AXIS for block in blocks)
    sheet = Sheet(figure, 2 * _MARGIN + sum(widths) + _GAP * len(widths) + across, height + 2 * _MARGIN)
    top = _MARGIN
    for block in blocks:
        text = cut_to(block.title, sheet.width - 2 * _MARGIN, TITLE, "bold")
        sheet.text(_MARGIN, top + 0.1, text, fontsize=TITLE, fontweight="bold")
        _block(sheet, block, top + _TITLE, widths, theme)
        top += _TITLE + block.down + _AXIS
    _legend(figure, blocks, (_MARGIN / sheet.width, _MARGIN / sheet.height), theme)


def _widths(blocks: Sequence[Block]) -> list[float]:
    """Of the columns of text, in inches."""
    rows = [HEADS, *(line.cells for block in blocks for line in block.lines)]
    columns = zip(_WIDEST, zip(*rows, strict=True), strict=True)
    return [min(most, max(map(width_of, texts))) for most, texts in columns]


def _block(sheet: Sheet, block: Block, top: float, widths: Sequence[float], theme: Theme) -> None:
    middles = _texts(sheet, block, top, widths, theme)
    left = _MARGIN + sum(widths) + _GAP * len(widths)
    across = (sheet.width - _MARGIN - left) / len(PANELS)
    for number, head in enumerate(PANELS):
        begin = left + number * across + _NUMBER
        points = [line.points[number] for line in block.lines]
        for point, middle in zip(points, middles, strict=True):
            sheet.text(begin - 0.08, top + middle, f"{point.ours:.1f}", fontsize=TEXT, ha="right")
        sheet.text(begin, top + _LINE / 2, head, fontsize=SMALL, color=theme.quiet)
        panel = sheet.axes(begin, top + _LINE, across - _NUMBER - _GAP, block.down - _LINE)
        panel.set_ylim(block.down, _LINE)
        _points(panel, points, middles, theme)


def _texts(sheet: Sheet, block: Block, top: float, widths: Sequence[float], theme: Theme) -> list[float]:
    """Write what the results are of; inches from `top` to the middle of each."""
    quiet = {"fontsize": SMALL, "color": theme.quiet}
    lefts = [_MARGIN + sum(widths[:column]) + _GAP * column for column in range(len(widths))]
    for left, head in zip(lefts, HEADS, strict=True):
        sheet.text(left, top + _LINE / 2, head, **quiet)
    middle, found = _LINE * 1.5, []
    for name, lines in block.tables.items():
        sheet.text(_MARGIN, top + middle, name, **quiet, fontstyle="italic")
        for line in lines:
            middle += _LINE
            found.append(middle)
            for left, width, text in zip(lefts, widths, line.cells, strict=True):
                sheet.text(left, top + middle, cut_to(text, width + 0.01), fontsize=TEXT)
        middle += _LINE
    return found


def _points(panel: Any, points: Sequence[Point], middles: Sequence[float], theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    for point, middle in zip(points, middles, strict=True):
        panel.plot(point.interval, [middle, middle], **_interval(theme))
        panel.plot([point.ours], [middle], **_ours(theme))
        if point.paper is not None:
            panel.plot([point.paper], [middle], **_papers(theme))
    numbers = [
        number for point in points for number in (*point.interval, point.ours, point.paper) if number is not None
    ]
    beside = 0.08 * max(max(numbers) - min(numbers), 1)
    panel.set(xlim=(max(min(numbers) - beside, -0.02 * beside), max(numbers) + beside), yticks=())
    panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.grid(axis="x")
    panel.tick_params(length=0)
    panel.spines["left"].set_visible(False)


def _legend(figure: Any, blocks: Sequence[Block], corner: tuple[float, float], theme: Theme) -> None:
    """Of the marks that there are."""
    from matplotlib.lines import Line2D

    points = [point for block in blocks for line in block.lines for point in line.points]
    handles = [
        Line2D([], [], **{**_interval(theme), **_ours(theme), "linestyle": "-"}, label="ours, with 95% interval")
    ]
    if any(point.paper is not None for point in points):
        handles.append(Line2D([], [], **_papers(theme), label="the paper's"))
    place = {"loc": "lower left", "bbox_to_anchor": corner, "borderpad": 0, "borderaxespad": 0}
    figure.legend(handles=handles, ncols=len(handles), labelcolor=theme.quiet, **place)


def _interval(theme: Theme) -> dict[str, Any]:
    return {"color": theme.series[0], "linewidth": 1.6, "solid_capstyle": "butt"}


def _ours(theme: Theme) -> dict[str, Any]:
    return {"color": theme.series[0], "marker": "o", "markersize": 5.5, "linestyle": ""}


def _papers(theme: Theme) -> dict[str, Any]:
    paint = {"markeredgecolor": theme.series[1], "markerfacecolor": "none", "markeredgewidth": 1.4}
    return {"marker": "D", "markersize": 6.5, "linestyle": "", **paint}
