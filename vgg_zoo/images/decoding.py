"""Decoding image files of data sets: an image becomes RGB as a viewer shows it; otherwise the error says why not."""

import io
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vgg_zoo.images.formats import format_of

try:  # optional: libjpeg-turbo, without Pillow's detour through four bytes per pixel
    import simplejpeg
except ImportError:
    simplejpeg = None

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""(H, W, 3), RGB in 0–255."""

Decoded = TypeVar("Decoded")

MOST_PIXELS = 178_956_970
"""Larger images are not decoded. This is Pillow's own limit, above which it suspects a decompression bomb."""

MOST_ELONGATED = 16
"""An image longer than this many times its width is cropped to its middle: a map of the whole would not fit memory."""


class BadImageError(ValueError):
    """An image that cannot be decoded; the message says why, without the image's name."""


def read_pixels(source: bytes | str | Path) -> Pixels:
    """An image file as RGB, upright.

    CMYK, grey, palette and 16-bit images are converted as viewers show them, with transparent pixels on white. EXIF
    orientation is applied. An image more than 16 times as long as wide is cropped to its middle.

    Args:
        source: The file's bytes, or its path. The format is recognised by content, not by name.

    Returns:
        (H, W, 3), uint8.

    Raises:
        BadImageError: The file is missing, empty, no image, truncated or corrupt, or has too many pixels.
    """
    if not isinstance(source, bytes):
        try:
            source = Path(source).read_bytes()
        except OSError as error:
            raise BadImageError(f"the file cannot be read ({error.strerror})") from error
    if not source:
        raise BadImageError("the file is empty (0 bytes)")
    pixels = _plain_jpeg(source)
    return _any_format(source) if pixels is None else pixels


def middle_corner(source: bytes | str | Path) -> tuple[int, int]:
    """Left and top of the part of the upright image that `read_pixels` returns: 0 and 0, or those of the middle.

    Args:
        source: An image that `read_pixels` can read.
    """

    def upright() -> tuple[int, int]:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.size[::-1] if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5 else image.size

    sides = whatever_it_warns_of(upright)
    width, height = (min(side, MOST_ELONGATED * min(sides)) for side in sides)
    return (sides[0] - width) // 2, (sides[1] - height) // 2


def pixels_of(image: Image.Image) -> Pixels:
    """The pixels of an image in memory or an opened image, as `read_pixels` returns those of a file.

    Raises:
        BadImageError: It has no pixels or too many, or its numbers are no brightness.
    """
    if not 0 < image.width * image.height <= MOST_PIXELS:
        size = f"{image.width}×{image.height} pixels"
        raise BadImageError(f"{size} are more than {MOST_PIXELS:,}" if image.width * image.height else f"it has {size}")
    return np.array(_middle(_rgb(ImageOps.exif_transpose(image), image.format)))


def _plain_jpeg(data: bytes) -> Pixels | None:
    """The pixels of a plain JPEG; None leaves the file to Pillow, which also reports what is wrong with it."""
    if simplejpeg is None or not data.startswith(b"\xff\xd8") or _tells_orientation(data):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        usual = colours in ("YCbCr", "Gray") and height * width <= MOST_PIXELS
        if not usual or max(height, width) > MOST_ELONGATED * min(height, width):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(data)
    except ValueError:
        return None
    return pixels


def _tells_orientation(data: bytes) -> bool:
    """Whether a JPEG may need a rotation: its segments, of any length, include EXIF, or XMP with an orientation."""
    place = 2
    while data[place : place + 1] == b"\xff":
        marker, length = data[place + 1 : place + 2], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == b"\xda" or length < 2:  # the compressed image begins
            return False
        if marker == b"\xe1":
            segment = data[place + 4 : place + 2 + length]
            if segment.startswith(b"Exif\0") or b"Orientation" in segment:
                return True
        place += 2 + length
    return False


def _any_format(data: bytes) -> Pixels:
    def decode() -> Pixels:
        with Image.open(io.BytesIO(data)) as image:
            return pixels_of(image)

    try:
        return whatever_it_warns_of(decode)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        kind = format_of(data)
        unread = "no image format that Pillow knows" if kind is None else f"Pillow cannot read this {kind} file here"
        raise BadImageError(unread) from error
    # Decoders raise almost any exception for damaged files; Pillow documents no complete list.
    except Exception as error:
        raise BadImageError(f"{type(error).__name__}: {error}") from error


_filters = threading.Lock()


def whatever_it_warns_of(decode: Callable[[], Decoded]) -> Decoded:
    """The result of one of Pillow's functions, even if the program's filters turn its warnings into errors.

    Pillow warns about odd metadata and many pixels. Warning filters belong to the whole process: changing them while
    other threads decode or warn would lose the warnings of these threads. So they are changed only where a warning
    would lose an image.
    """
    try:
        return decode()
    except Warning:
        with _filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode()


def _rgb(image: Image.Image, kind: str | None) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode[0] in "IF":  # greys with more bits, which Pillow's own conversion clips at 255
        return Image.fromarray(_in_255(image, sixteen=image.mode.startswith("I;16") or kind == "PNG")).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


def _in_255(image: Image.Image, sixteen: bool) -> Pixels:
    """Greys of 16 bits, 32 bits or floats as uint8. White is 1, 255 or 65535: the first that is above all numbers.

    The range of a 32-bit or float image is inferred from its numbers; that of a 16-bit image is known.
    """
    values = np.asarray(image).astype(np.float64)
    least, most = values.min(), values.max()
    ranges = (65535,) if sixteen else (1, 255, 65535) if image.mode == "F" else (255, 65535)
    white = next((value for value in ranges if most <= 1.01 * value), None)  # resampling may overshoot
    if white is None or not least >= -0.01 * white:
        raise BadImageError(
            f"its numbers from {least:g} to {most:g} are no brightness: from 0 to 1 (floats), 255 or 65535 are"
        )
    scaled = values // 256 if white == 65535 else np.round(values * (255 / white))
    return scaled.clip(0, 255).astype(np.uint8)


def _middle(image: Image.Image) -> Image.Image:
    width, height = (min(side, MOST_ELONGATED * min(image.size)) for side in image.size)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
