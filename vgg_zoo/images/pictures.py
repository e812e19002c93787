"""Pictures that commands write of a photo: where they go, and boxes drawn on them."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vgg_zoo.images.decoding import BadImageError, Pixels
from vgg_zoo.images.inputs import decoded

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4")

Labelled = tuple[str, float, tuple[float, float, float, float]]
"""Name, score from 0 to 1, and (left, top, right, bottom) in pixels."""


def draw_boxes(pixels: Pixels, found: Sequence[Labelled]) -> Image.Image:
    """The image with boxes, and the name and score of each at its upper left corner.

    Args:
        pixels: (H, W, 3), uint8.
        found: Drawn in reverse order, so that the first is on top.
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
    """Above the corner, or below it at the image's upper border; never beyond the right border."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = max(0.0, min(corner[0], size[0] - right))
    y = corner[1] - bottom if corner[1] >= bottom else corner[1]
    draw.rectangle((x + left, y + top, x + right, y + bottom), fill=colour)
    draw.text((x, y), text, fill="white", font=font)


def decoded_photo(photo: Path) -> Pixels:
    """The photo's pixels, (H, W, 3).

    Raises:
        ValueError: It cannot be decoded; the message has its name.
    """
    try:
        return decoded(photo)
    except BadImageError as error:
        raise ValueError(f"{photo}: {error}") from error


def picture_of(photo: Path, output: Path | None, what: str) -> Path:
    """Where a command writes its picture, checked before anything is computed.

    Args:
        photo: That it is of.
        output: What the user named, to be replaced if it is there; None is "PHOTO.what.png" here.
        what: That name's middle.

    Raises:
        ValueError: No PNG, no such folder, the photo itself, or a file that nobody named.
    """
    path = output or Path(f"{photo.stem}.{what}.png")
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} does not end in .png, and a PNG is what is written")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if path.is_dir() or (path.exists() and path.samefile(photo)):
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'the photo'}; name another file with --output")
    if output is None and path.exists():
        raise ValueError(f"{path} is there already; name it with --output to replace it, or name another file")
    return path
