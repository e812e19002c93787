"""Formats by their first bytes, against what Pillow writes."""

import io

import pytest
from PIL import Image, features

from vgg_zoo.images.decoding import BadImageError, read_pixels
from vgg_zoo.images.formats import FIRST_BYTES, format_of

WRITTEN = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "GIF": "GIF",
    "BMP": "BMP",
    "WEBP": "WebP",
    "TIFF": "TIFF",
    "PPM": "PNM",
    "ICO": "ICO",
    "DDS": "DDS",
    "JPEG2000": "JPEG 2000",
    "AVIF": "AVIF",
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_pillow_writes_is_recognised(kind: str) -> None:
    """By the first bytes alone."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    file = io.BytesIO()
    Image.new("RGB", (20, 16)).save(file, kind)
    assert format_of(file.getvalue()[:FIRST_BYTES]) == WRITTEN[kind]


@pytest.mark.parametrize(
    "data", [b"", b"P", b"BM is a text", b"<annotation>", b"\0" * 64, b"PK\3\4", b"P6x", b"RIFFabcdWAVE"]
)
def test_other_files_are_none(data: bytes) -> None:
    """Texts, archives, sounds and nothing at all."""
    assert format_of(data) is None


@pytest.mark.parametrize(
    ("data", "named"),
    [(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "HEIC"), (b"\xff\x0a" + b"\0" * 40, "JPEG XL")],
)
def test_a_format_that_pillow_cannot_read_is_named(data: bytes, named: str) -> None:
    """A photo of a telephone is not called no image at all."""
    assert format_of(data) == named
    with pytest.raises(BadImageError, match=f"^Pillow cannot read this {named} file here$"):
        read_pixels(data)
