"""The picture of an explanation: the photo, and for each class the posteriors at every position of each scale's map.

Tiles of one size. Of one scale they are the photo and a map for each class, likeliest first. Of several, a column for
each scale, with the photo on top and a row for each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vgg_zoo.images.decoding import Pixels
from vgg_zoo.style import HEAT, SMALL, TEXT, TITLE, WIDTH, Sheet, Theme, cut_to, fitted, width_of

if TYPE_CHECKING:
    from vgg_zoo.explanation import Explanation, PlacedMap

_MARGIN, _GAP, _HEAD, _CAPTION, _LINE = 0.2, 0.14, 0.5, 0.36, 0.24
_SIDE, _TALLEST = 1.7, 2.2
"""Of a tile in inches: the side of a square of its area, and its height at the most."""
_NARROWEST, _WORDS = 3.3, 1.3
"""Inches of the whole picture, and of a caption, at the least."""
_OVER_PHOTO = 0.6
"""Opacity of a map."""
_DOT = {"s": 3, "color": "white", "alpha": 0.6, "linewidths": 0}


@dataclass(frozen=True, slots=True)
class _Tile:
    """A map, or the photo with one window of that map.

    Attributes:
        placed: The map.
        number: Of the class; None is the photo.
        caption: Above the tile.
        posterior: At the right of that, with a bar below it; None has neither.
        span: Tiles that the caption is as wide as; 0 where there is none.
    """

    placed: "PlacedMap"
    number: int | None
    caption: str = ""
    posterior: float | None = None
    span: int = 1


def heat_over(photo: Pixels, heat: np.ndarray[Any, Any]) -> Pixels:
    """Posteriors of one class in colours over the grey photo, pixel by pixel.

    Args:
        photo: (H, W, 3).
        heat: (H, W), from 0, black, to 1, light yellow.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib import colormaps  # an extra, and slow to import

    grey = np.asarray(Image.fromarray(photo).convert("L"), np.float64)[:, :, None]
    light = (grey + 127.5) / 1.5  # no black, so that colours are visible on every photo
    colours = 255 * colormaps[HEAT](heat)[:, :, :3]
    mixed: Pixels = (_OVER_PHOTO * colours + (1 - _OVER_PHOTO) * light).round().astype(np.uint8)
    return mixed


def draw(explanation: "Explanation", figure: Any, theme: Theme) -> None:
    """Draw it; the figure's width follows from the photo's shape and the number of maps."""
    height, width = explanation.photo.shape[:2]
    rows = _rows(explanation, width / height)
    columns = max(map(len, rows))
    cell = _cell(width / height, columns)
    across = min(cell, _TALLEST * width / height)
    down, whole = across * height / width, columns * (cell + _GAP) - _GAP
    legend = _legend_lines(whole)
    bottom = _MARGIN + _HEAD + len(rows) * (_CAPTION + down + _GAP)
    sheet = Sheet(figure, whole + 2 * _MARGIN, bottom + len(legend) * _LINE + _MARGIN)
    _head(sheet, explanation.net, whole, theme)
    for row, tiles in enumerate(rows):
        top = _MARGIN + _HEAD + row * (_CAPTION + down + _GAP)
        for column, tile in enumerate(tiles):
            left = _MARGIN + column * (cell + _GAP)
            if tile.span:
                _caption(sheet, tile, left, top, tile.span * (cell + _GAP) - _GAP, theme)
            _picture(sheet.axes(left, top + _CAPTION, across, down), tile, explanation.photo)
    for row, items in enumerate(legend):
        _legend(sheet, items, bottom + (row + 0.5) * _LINE, theme)


def _rows(explanation: "Explanation", shape: float) -> list[list[_Tile]]:
    """Of a photo that is `shape` times as wide as high."""
    photos = [_Tile(placed, None, _positions(placed)) for placed in explanation.maps]
    classes = list(enumerate(explanation.predictions))
    if len(explanation.maps) > 1:
        return [photos] + [
            [_Tile(placed, number, *said, 0 if scale else len(photos)) for scale, placed in enumerate(explanation.maps)]
            for number, said in classes
        ]
    tiles = photos + [_Tile(explanation.maps[0], number, *said) for number, said in classes]
    in_a_row = (WIDTH - 2 * _MARGIN + _GAP) // (max(0.85 * _natural(shape), 1.15 * _WORDS) + _GAP)
    columns = ceil(len(tiles) / ceil(len(tiles) / max(1, in_a_row)))
    return [tiles[first : first + columns] for first in range(0, len(tiles), columns)]


def _positions(placed: "PlacedMap") -> str:
    return f"Q = {placed.scale}, {len(placed.rows)} × {len(placed.columns)} positions"


def _natural(shape: float) -> float:
    """Inches that a tile is wide: of about the same area, whatever the photo's shape."""
    return min(_SIDE * shape**0.5, _TALLEST * shape)


def _cell(shape: float, columns: int) -> float:
    """Inches for a tile and its caption: together neither wider than a page nor narrower than the words."""
    most, least = ((width + _GAP) / columns - _GAP for width in (WIDTH - 2 * _MARGIN, _NARROWEST - 2 * _MARGIN))
    return min(max(_natural(shape), _WORDS, least), most)


def _head(sheet: Sheet, net: str, width: float, theme: Theme) -> None:
    sheet.text(_MARGIN, _MARGIN + 0.08, cut_to(net, width, TITLE, "bold"), fontsize=TITLE, fontweight="bold")
    sheet.text(
        _MARGIN, _MARGIN + 0.29, "the likeliest classes, and where the net sees them", fontsize=SMALL, color=theme.quiet
    )


def _caption(sheet: Sheet, tile: _Tile, left: float, top: float, width: float, theme: Theme) -> None:
    middle = top + _CAPTION - 0.2
    if tile.posterior is None:
        sheet.text(left, middle, fitted(tile.caption, width, SMALL), fontsize=SMALL, color=theme.quiet)
        return
    number = f"{tile.posterior:.3f}"
    sheet.text(left, middle, fitted(tile.caption, width - width_of(number) - 0.12), fontsize=TEXT)
    sheet.text(left + width, middle, number, fontsize=TEXT, ha="right")
    for part, colour in ((1.0, theme.line), (tile.posterior, theme.series[0])):
        sheet.box(left, top + _CAPTION - 0.085, part * width, 0.045, colour)


def _picture(axes: Any, tile: _Tile, photo: Any) -> None:
    axes.set(xlim=(0, 1), ylim=(1, 0))
    axes.set_axis_off()
    if tile.number is None:
        axes.imshow(photo, extent=(0, 1, 1, 0), aspect="auto")
        _window(axes, tile.placed)
        return
    heat = tile.placed.over(*photo.shape[:2])[tile.number]
    axes.imshow(heat_over(photo, heat), extent=(0, 1, 1, 0), aspect="auto")
    axes.scatter(*np.meshgrid(tile.placed.columns, tile.placed.rows), **_DOT)


def _window(axes: Any, placed: "PlacedMap") -> None:
    """The one in which the likeliest class has its highest posterior."""
    row, column = np.unravel_index(placed.posteriors[0].argmax(), placed.posteriors.shape[1:])
    height, width = placed.window
    left, right = (min(1.0, max(0.0, float(placed.columns[column]) + side * width / 2)) for side in (-1, 1))
    top, bottom = (min(1.0, max(0.0, float(placed.rows[row]) + side * height / 2)) for side in (-1, 1))
    _outline(axes, (left, top), right - left, bottom - top)


def _outline(axes: Any, corner: tuple[float, float], width: float, height: float) -> None:
    """White on black, to be seen on every photo."""
    from matplotlib.patches import Rectangle

    for colour, line in (("black", 2.4), ("white", 1.2)):
        axes.add_patch(Rectangle(corner, width, height, fill=False, ec=colour, linewidth=line, clip_on=False))


_SCALE, _SYMBOL = 0.8, 0.22
_ITEMS = (
    ("scale", "posterior"),
    ("window", "the first class's likeliest window"),
    ("dot", "centre of a window"),
)


def _legend_lines(width: float) -> list[list[tuple[str, str]]]:
    """What the legend says, in lines of at most that width."""
    lines: list[list[tuple[str, str]]] = [[]]
    left = 0.0
    for item in _ITEMS:
        if left and left + _extent(item) > width:
            lines.append([])
            left = 0.0
        lines[-1].append(item)
        left += _extent(item) + 0.3
    return lines


def _extent(item: tuple[str, str]) -> float:
    return _before(item[0]) + width_of(item[1], SMALL)


def _before(symbol: str) -> float:
    """From the symbol's left to the text's."""
    return _SCALE + 0.3 if symbol == "scale" else _SYMBOL + 0.08


def _legend(sheet: Sheet, items: Sequence[tuple[str, str]], middle: float, theme: Theme) -> None:
    left = _MARGIN
    for item in items:
        symbol, text = item
        if symbol == "scale":
            _colour_scale(sheet, left, middle, theme)
        else:
            axes = sheet.axes(left, middle - 0.075, _SYMBOL, 0.15)
            axes.set(xlim=(0, 1), ylim=(0, 1), facecolor="0.45", xticks=(), yticks=())
            axes.spines[:].set_visible(False)
            if symbol == "dot":
                axes.scatter([0.5], [0.5], **_DOT | {"s": 8, "alpha": 1})
            else:
                _outline(axes, (0.2, 0.2), 0.6, 0.6)
        sheet.text(left + _before(symbol), middle, text, fontsize=SMALL, color=theme.quiet)
        left += _extent(item) + 0.3


def _colour_scale(sheet: Sheet, left: float, middle: float, theme: Theme) -> None:
    """Over mid-grey, as the maps are over the photo's grey."""
    axes = sheet.axes(left + 0.1, middle - 0.06, _SCALE, 0.12)
    scale = heat_over(np.full((1, 256, 3), 128, np.uint8), np.linspace(0, 1, 256)[None])
    axes.imshow(scale, extent=(0, 1, 0, 1), aspect="auto")
    axes.set_axis_off()
    for place, number in ((left, "0"), (left + _SCALE + 0.13, "1")):
        sheet.text(place, middle, number, fontsize=SMALL, color=theme.quiet)
