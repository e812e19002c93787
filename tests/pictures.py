"""What a figure shows, for tests of its properties: every text that is drawn and where, and the picture itself."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from unittest.mock import patch

from PIL import Image, ImageChops

from vgg_zoo.style import DPI, LIGHT, Draw, Theme, png

ROUNDING = 1.5
"""Pixels: boxes of texts have some room above and below the letters."""


@dataclass(frozen=True)
class Drawn:
    """A figure as it was drawn.

    Attributes:
        picture: Of it.
        figure: matplotlib's.
        texts: What is written, with (left, bottom, right, top) in pixels.
    """

    picture: Image.Image
    figure: Any
    texts: list[tuple[str, tuple[float, float, float, float]]]

    @property
    def words(self) -> list[str]:
        """The texts alone."""
        return [text for text, _ in self.texts]

    def overlapping(self) -> list[tuple[str, str]]:
        """Texts that cover each other."""
        return [(one, other) for (one, a), (other, b) in combinations(self.texts, 2) if meet(a, b)]

    def clipped(self) -> list[str]:
        """Texts that leave the picture."""
        width, height = self.picture.size
        return [
            text
            for text, (left, bottom, right, top) in self.texts
            if min(left, bottom, width - right, height - top) < -1
        ]

    def check(self) -> None:
        """No text covers another one, none leaves the picture, and no border is wide and empty."""
        assert self.overlapping() == []
        assert self.clipped() == []
        left, top, right, bottom = self.inked()
        width, height = self.picture.size
        assert max(left, top, width - right, height - bottom) < 0.6 * DPI, "a wide empty border"

    def inked(self) -> tuple[int, int, int, int]:
        """The box of all pixels that are not the ground's."""
        ground = Image.new("RGB", self.picture.size, self.picture.getpixel((0, 0)))  # type: ignore[arg-type]
        box = ImageChops.difference(self.picture, ground).getbbox()
        assert box is not None
        return box


def meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """By more than rounding."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return min(across, down) > ROUNDING


def drawn(draw: Draw, theme: Theme = LIGHT) -> Drawn:
    """Draw, and note what is written."""
    from matplotlib.text import Text

    kept: list[Any] = []
    texts: dict[int, Any] = {}
    draw_text = Text.draw

    def noted(self: Any, renderer: Any) -> None:
        if self.get_visible() and self.get_text():
            texts[id(self)] = self
        draw_text(self, renderer)

    def keep(figure: Any, theme: Theme) -> None:
        draw(figure, theme)
        kept.append(figure)
        figure.set_dpi(DPI)
        texts.clear()  # of what was drawn to lay the figure out

    with patch.object(Text, "draw", noted):
        written = png(keep, theme)
    found = [(text.get_text(), tuple(text.get_window_extent().extents)) for text in texts.values()]
    return Drawn(Image.open(io.BytesIO(written)).convert("RGB"), kept[0], found)  # type: ignore[arg-type]


def long_names(count: int) -> Iterator[str]:
    """Of classes, some of them very long, one of them empty."""
    for number in range(count):
        yield ("", "tench", "black-footed ferret, ferret, Mustela nigripes", "a name of many words " * 9, "_{x^$")[
            number % 5
        ] + (f" {number}" if number >= 5 else "")
