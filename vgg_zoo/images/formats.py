"""Recognising an image format by a file's first bytes, whatever its name, even if Pillow cannot decode it here."""

FIRST_BYTES = 64
"""Number of bytes that `format_of` needs."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\x01\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"
)


def format_of(data: bytes) -> str | None:
    """The name of a file's image format, or None if it is none of the usual formats.

    Args:
        data: The file's first `FIRST_BYTES` bytes, or more.
    """
    if data[4:8] == b"ftyp":
        listed = (data[place : place + 4] for place in (8, *range(16, min(len(data), FIRST_BYTES), 4)))
        found = [_BRANDS[brand] for brand in listed if brand in _BRANDS]  # AVIF's first brand may be the general "mif1"
        return "AVIF" if "AVIF" in found else next(iter(found), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return "BMP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PNM"
    return next((name for beginning, name in _BEGINNINGS if data.startswith(beginning)), None)
