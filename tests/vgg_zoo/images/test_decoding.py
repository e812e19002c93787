"""Image files as they occur in data sets of millions."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from vgg_zoo.images import decoding as images
from vgg_zoo.images.decoding import BadImageError, Pixels, pixels_of, read_pixels

PHOTO = Image.fromarray(load_sample_image("china.jpg")).resize((160, 107))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(one: Pixels, other: Image.Image | Pixels) -> int:
    """Largest difference of two images' pixels."""
    expected = np.asarray(other)
    assert one.dtype == np.uint8
    assert one.shape == expected.shape
    return int(np.abs(one.astype(int) - expected.astype(int)).max())


def test_a_jpeg_is_what_pillow_decodes() -> None:
    """To the bit, with and without the faster decoder."""
    for options in ({"quality": 96}, {"quality": 60, "subsampling": 2}, {"quality": 90, "progressive": True}):
        data = encoded(PHOTO, "JPEG", **options)
        assert difference(read_pixels(data), Image.open(io.BytesIO(data))) == 0


def test_the_faster_decoder_can_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    data = encoded(PHOTO, "JPEG")
    monkeypatch.setattr(images, "simplejpeg", None)
    assert difference(read_pixels(data), Image.open(io.BytesIO(data))) == 0


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """As Pillow converts it."""
    picture = PHOTO.convert("RGB").convert(mode) if mode != "LAB" else PHOTO
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    data = encoded(picture if mode != "HSV" else PHOTO, kind)
    assert difference(read_pixels(data), Image.open(io.BytesIO(data)).convert("RGB")) <= 1


def test_sixteen_bit_greys_keep_their_range() -> None:
    """Pillow's own conversion clips them at 255: everything white."""
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(8, 0)
    pixels = read_pixels(encoded(Image.fromarray(ramp)))
    assert difference(pixels, (ramp >> 8).astype(np.uint8)[:, :, None].repeat(3, 2)) == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_places_are_white(mode: str) -> None:
    """As viewers show them, not the colour that is hidden there."""
    picture = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    data = encoded(picture.convert(mode)) if mode != "P" else encoded(picture.quantize(4), "PNG")
    pixels = read_pixels(data)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1, 0] in (59, 60, 200)


def test_a_transparent_colour_is_white() -> None:
    """As an RGB PNG may name one in place of an alpha channel."""
    picture = Image.new("RGB", (4, 2), (200, 0, 0))
    picture.putpixel((0, 0), (1, 2, 3))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=(1, 2, 3))
    pixels = read_pixels(buffer.getvalue())
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """Against Pillow's own transposition."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert difference(read_pixels(data), expected) <= 1
    assert (read_pixels(data).shape[0] > 107) == (orientation >= 5)


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments of its own in front of all others."""
    parts = [b"\xff" + bytes([0xE0 + kind]) + struct.pack(">H", len(body) + 2) + body for kind, body in segments]
    return jpeg[:2] + b"".join(parts) + jpeg[2:]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_orientation_behind_long_segments_is_applied(orientation: int) -> None:
    """Colour profiles and thumbnails of more than 64 kB stand before it; in XMP, too. As Pillow and OpenCV do."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif_body, long = exif.tobytes(), (2, b"ICC_PROFILE\0" + bytes(65_000))
    plain = encoded(PHOTO, "JPEG")
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + f'<a tiff:Orientation="{orientation}"/>'.encode()
    for data in (with_segments(plain, long, long, (1, exif_body)), with_segments(plain, long, (1, xmp))):
        opened = Image.open(io.BytesIO(data))
        expected = ImageOps.exif_transpose(opened)
        assert (expected.width < expected.height) == (orientation >= 5)
        assert difference(read_pixels(data), expected) == 0
        assert difference(pixels_of(Image.open(io.BytesIO(data))), expected) == 0
    theirs = cv2.imdecode(np.frombuffer(with_segments(plain, long, long, (1, exif_body)), np.uint8), cv2.IMREAD_COLOR)
    assert theirs.shape[:2] == expected.size[::-1]


def test_segments_without_an_orientation_leave_the_fast_way() -> None:
    """XMP of editors, and a file truncated within a segment, which Pillow reports."""
    data = with_segments(encoded(PHOTO, "JPEG"), (1, b"http://ns.adobe.com/xap/1.0/\0<a/>"))
    assert not images._tells_orientation(data)
    assert not images._tells_orientation(data[:10])
    assert difference(read_pixels(data), Image.open(io.BytesIO(data))) == 0


GREYS: dict[str, Any] = {
    "32 bits, 0–255": np.linspace(0, 255, 64).round().astype(np.int32),
    "32 bits, 0–65535": np.linspace(0, 65535, 64).round().astype(np.int32),
    "floats, 0–1": np.linspace(0, 1, 64, dtype=np.float32),
    "floats, 0–255": np.linspace(0, 255, 64, dtype=np.float32),
    "floats, 0–1 and a little": np.linspace(-0.004, 1.004, 64, dtype=np.float32),
}


@pytest.mark.parametrize("kind", GREYS)
def test_greys_of_32_bits_and_floats(kind: str) -> None:
    """From black to white, in memory and as a TIFF."""
    picture = Image.fromarray(GREYS[kind][None].repeat(8, 0))
    pixels = pixels_of(picture)
    expected = np.linspace(0, 255, 64)
    assert np.abs(pixels[0, :, 0] - expected).max() <= 2
    assert (pixels == pixels[:1, :, :1]).all()
    assert difference(read_pixels(encoded(picture, "TIFF")), pixels) == 0


@pytest.mark.parametrize("values", [[-5.0, 0.5], [0.0, 1e6], [0.0, np.nan]])
def test_numbers_that_are_no_brightness_are_refused(values: list[float]) -> None:
    """Rather than shown black or white."""
    with pytest.raises(BadImageError, match="are no brightness"):
        pixels_of(Image.fromarray(np.array([values], dtype=np.float32)))
    with pytest.raises(BadImageError, match="from -5 to 3 are no brightness"):
        pixels_of(Image.fromarray(np.array([[-5, 3]], dtype=np.int32)))


MODES = {  # that Pillow writes
    "JPEG": ("L", "1", "CMYK", "RGB"),
    "PNG": ("L", "1", "P", "RGB", "RGBA", "LA", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "TIFF": ("L", "1", "P", "CMYK", "RGB", "RGBA", "LA", "I;16", "I", "F"),
    "BMP": ("L", "1", "P", "RGB"),
    "GIF": ("L", "1", "P", "RGB", "RGBA"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_a_path_and_the_image_opened_from_it_are_alike(kind: str, mode: str, tmp_path: Path) -> None:
    """To the bit, whatever the mode and the format."""
    path = tmp_path / "image"
    PHOTO.convert("L" if mode in ("I;16", "I", "F") else mode).convert(mode).save(path, kind)
    with Image.open(path) as opened:
        assert np.array_equal(read_pixels(path), pixels_of(opened))


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    """ImageNet has a PNG that is named .JPEG."""
    path = tmp_path / "photo.JPEG"
    path.write_bytes(encoded(PHOTO, "PNG"))
    assert difference(read_pixels(path), PHOTO) == 0
    assert difference(read_pixels(str(path)), PHOTO) == 0


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (1, 1)), ((20_000, 100), (1600, 100)), ((3, 900), (3, 48))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_extreme_shapes_are_cut_to_their_middle(kind: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """More than 16 times as long as wide; a single pixel is an image."""
    ramp = Image.linear_gradient("L").resize(size)
    pixels = read_pixels(encoded(ramp, kind))
    assert pixels.shape == (expected[1], expected[0], 3)
    assert abs(float(pixels.mean()) - float(np.asarray(ramp).mean())) < 8


def bomb() -> bytes:
    """A PNG of 20,000 × 20,000 pixels in some hundred bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, I am a text", "no image format that Pillow knows"),
        (encoded(PHOTO, "JPEG")[:2000], "truncated"),
        (encoded(PHOTO, "PNG")[:2000], "truncated"),
        (encoded(PHOTO, "JPEG")[:2], "no image format|Truncated|truncated"),
        (bomb(), "pixels|decompression bomb"),
    ],
    ids=["empty", "text", "JPEG", "PNG", "two bytes", "bomb"],
)
def test_what_is_no_image_says_why(data: bytes, reason: str) -> None:
    """One exception for all, with the reason."""
    with pytest.raises(BadImageError, match=reason):
        read_pixels(data)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """The same exception."""
    with pytest.raises(BadImageError, match="No such file"):
        read_pixels(tmp_path / "nothing.jpg")


_FILES = [
    encoded(PHOTO, "JPEG"),
    encoded(PHOTO, "PNG"),
    encoded(PHOTO, "GIF"),
    encoded(PHOTO, "TIFF"),
    encoded(PHOTO, "WEBP"),
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_FILES), st.data())
def test_damaged_files_are_images_or_named(file: bytes, data: st.DataObject) -> None:
    """Bytes changed, cut or inserted: pixels, or the one exception; never another one, never a crash."""
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged
    try:
        pixels = read_pixels(bytes(damaged))
    except BadImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


def test_an_image_in_memory_is_read_alike() -> None:
    """For callers that have PIL images."""
    assert difference(pixels_of(PHOTO.convert("RGBA")), PHOTO) == 0


def test_a_warning_of_pillows_costs_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters may make errors of warnings; they are as before afterwards."""
    opened = Image.open

    def warning(*arguments: Any, **options: Any) -> Image.Image:
        warnings.warn("odd metadata", UserWarning, stacklevel=2)
        return opened(*arguments, **options)

    monkeypatch.setattr(Image, "open", warning)
    before = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(read_pixels(encoded(PHOTO)), PHOTO) == 0
    assert list(warnings.filters) == before


def test_decoding_in_threads_loses_nobodys_warnings() -> None:
    """What this thread warns of meanwhile is heard, and the filters stay."""
    data, before = encoded(PHOTO), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        decoding = [pool.submit(read_pixels, data) for _ in range(200)]
        for number in range(200):
            warnings.warn(f"number {number}", UserWarning, stacklevel=1)
        for each in decoding:
            each.result()
    assert len(heard) == 200
    assert list(warnings.filters) == before
