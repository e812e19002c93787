"""Boxes drawn on a photo."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vgg_zoo.images.decoding import Pixels

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4")

Labelled = tuple[str, float, tuple[float, float, float, float]]
"""Name, score from 0 to 1, and (left, top, right, bottom) in pixels."""


def draw_boxes(pixels: Pixels, found: Sequence[Labelled]) -> Image.Image:
    """The image with boxes; the name and score of each are at its upper left corner.

    Args:
        pixels: (H, W, 3), uint8.
        found: The boxes; they are drawn in reverse order, so that the first is on top.
    """
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 150))
    font = ImageFont.load_default(max(10, min(picture.size) / 25))
    for number, (name, score, (left, top, right, bottom)) in reversed(list(enumerate(found))):
        colour = COLOURS[number % len(COLOURS)]
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        _label(draw, (left, top), f"{name} {score:.0%}", font, colour, picture.size)
    return picture


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    colour: str,
    size: tuple[int, int],
) -> None:
    """Position of a label: above the corner, or below it at the upper border; always inside the right border."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = max(0.0, min(corner[0], size[0] - right))
    y = corner[1] - bottom if corner[1] >= bottom else corner[1]
    draw.rectangle((x + left, y + top, x + right, y + bottom), fill=colour)
    draw.text((x, y), text, fill="white", font=font)
