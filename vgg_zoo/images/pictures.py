"""Boxes drawn on a photo, with labels that do not cover each other."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from vgg_zoo.images.decoding import Pixels
from vgg_zoo.style import ON_PHOTOS, shortened, text_on

Labelled = tuple[str, float, tuple[float, float, float, float]]
"""Name, score from 0 to 1, and (left, top, right, bottom) in pixels."""

ROOM = 512
"""Pixels that a picture's longer side may have if the photo is enlarged, as labels need some room."""

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Area(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Area") -> bool:
        """They have a point in common that is inside of both."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def enlarged(photo: Pixels) -> Pixels:
    """A photo of at most half of `ROOM` with every pixel a square of them; a larger one as it is."""
    factor = max(1, ROOM // max(photo.shape[:2]))
    return photo.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_boxes(pixels: Pixels, found: Sequence[Labelled]) -> Image.Image:
    """The photo with boxes, and the name and score of each on a label of the box's colour.

    A label stands at a corner of its box, or as near to it as the labels before it allow. One that finds no room in the
    whole picture is left out.

    Args:
        pixels: (H, W, 3), uint8.
        found: The first is on top, and its label is placed first.

    Returns:
        Of the photo's size; a photo of at most 256 pixels is enlarged by a whole number, to at most `ROOM`.
    """
    large = enlarged(pixels)
    picture, factor = Image.fromarray(large), large.shape[0] // pixels.shape[0]
    boxes = [Area(*(factor * side for side in box)) for *_, box in found]
    colours = [ON_PHOTOS[number % len(ON_PHOTOS)] for number in range(len(found))]
    draw, line = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 320))
    for box, colour in reversed(list(zip(boxes, colours, strict=True))):
        _frame(draw, box, colour, line)
    font: Font = ImageFont.load_default(max(12, max(picture.size) / 40))
    texts = [_text(name, score, font, picture.width) for name, score, _ in found]
    areas = place_labels(picture.size, boxes, [_extent(text, font) for text in texts])
    for text, area, colour in zip(texts, areas, colours, strict=True):
        if area is not None:
            _label(draw, area, text, font, colour)
    return picture


def place_labels(
    size: tuple[int, int], boxes: Sequence[Area], extents: Sequence[tuple[float, float]]
) -> list[Area | None]:
    """Where labels stand, the first one first: inside the picture, and no two of them meet.

    Args:
        size: Width and height of the picture.
        boxes: What the labels are of.
        extents: Width and height of each label.

    Returns:
        None of a label that finds no room.
    """
    taken: list[Area] = []
    found: list[Area | None] = []
    for box, (width, height) in zip(boxes, extents, strict=True):
        corners = [*_at_the_box(box, width, height, size[0]), *_elsewhere(box, width, height, size, taken)]
        areas = (Area(left, top, left + width, top + height) for left, top in corners)
        area = next((area for area in areas if _is_free(area, size, taken)), None)
        found.append(area)
        taken += [area] if area else []
    return found


def _is_free(area: Area, size: tuple[int, int], taken: Sequence[Area]) -> bool:
    inside = area.left >= 0 and area.top >= 0 and area.right <= size[0] and area.bottom <= size[1]
    return inside and not any(map(area.meets, taken))


def _at_the_box(box: Area, width: float, height: float, most: int) -> Iterator[tuple[float, float]]:
    """Upper left corners: on top of the box, in it, below it; at its left, at its right; moved in from the border."""
    for top in (box.top - height, box.top, box.bottom, box.bottom - height):
        for left in (box.left, box.right - width):
            yield max(0.0, min(left, most - width)), top


def _elsewhere(
    box: Area, width: float, height: float, size: tuple[int, int], taken: Sequence[Area]
) -> list[tuple[float, float]]:
    """Upper left corners at the picture's borders and at other labels, nearest first.

    A label that has room anywhere can be pushed to the left and up until it touches these, so one of them has room.
    """
    lefts = {0.0, size[0] - width, *(other.right for other in taken), *(other.left - width for other in taken)}
    tops = {0.0, size[1] - height, *(other.bottom for other in taken), *(other.top - height for other in taken)}
    corners = [(left, top) for left in lefts for top in tops]
    return sorted(corners, key=lambda corner: (abs(corner[0] - box.left) + abs(corner[1] - box.top), corner))


def _frame(draw: ImageDraw.ImageDraw, box: Area, colour: str, line: int) -> None:
    """With a white rim, by which it can be seen on a photo of its own colour."""
    left, top = round(box.left), round(box.top)
    right, bottom = max(left, round(box.right) - 1), max(top, round(box.bottom) - 1)
    rim = max(1, line // 3)
    draw.rectangle((left - rim, top - rim, right + rim, bottom + rim), outline="#ffffff", width=line + 2 * rim)
    draw.rectangle((left, top, right, bottom), outline=colour, width=line)


def _text(name: str, score: float, font: Font, width: int) -> str:
    """The name, shortened where it would take more than 0.6 of the picture's width, and the score."""
    most = max(0.6 * width, min(width, 12 * font.getbbox("M")[2]))
    return shortened(name, lambda name: _extent(f"{name} {score:.0%}", font)[0] <= most) + f" {score:.0%}"


def _padding(font: Font) -> tuple[float, float, float]:
    """Beside the text; and its top and bottom below the point that it is drawn at, whatever its letters."""
    _, top, _, bottom = font.getbbox("Åg")
    return (bottom - top) / 3, top, bottom


def _extent(text: str, font: Font) -> tuple[float, float]:
    beside, top, bottom = _padding(font)
    return font.getbbox(text)[2] + 2 * beside, bottom - top + beside


def _label(draw: ImageDraw.ImageDraw, area: Area, text: str, font: Font, colour: str) -> None:
    beside, top, _ = _padding(font)
    draw.rectangle((area.left, area.top, area.right - 1, area.bottom - 1), fill=colour)
    draw.text((area.left + beside, area.top + beside / 2 - top), text, fill=text_on(colour), font=font)
