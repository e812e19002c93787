"""Nets and files that the Space is tried with."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sklearn.datasets
import torch
from PIL import Image

from tests.helpers import small

REQUIRED = os.environ.get("VGG_ZOO_REQUIRE_BROWSER") == "1"
"""CI says so; elsewhere what is missing skips the tests."""

ROOT = Path(__file__).resolve().parents[3]
SPACE = ROOT / "hub" / "space"
PHOTO = Path(sklearn.datasets.__file__).with_name("images") / "china.jpg"
NAMES = ["crane", "tench, Tinca tinca", "<b>bold</b> & co", "crane", "pagoda"]  # ImageNet has two cranes as well


def skip_module(error: ImportError) -> NoReturn:
    """A module's tests, where a package is missing."""
    if REQUIRED:
        raise error
    pytest.skip(f"{error}; pip install -e '.[dev]' brings it", allow_module_level=True)


def net(seed: int = 0, names: list[str] | None = None) -> Any:
    """A net whose classes differ enough to be told apart, with names."""
    torch.manual_seed(seed)
    model = small("vgg_d", num_classes=len(names or NAMES))
    with torch.no_grad():
        model.head.fc.weight.mul_(1000)
    model.pretrained_cfg["label_names"] = names or NAMES
    return model


def image_bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    """As a file of some format."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _corrupt() -> bytes:
    data = bytearray(image_bytes(Image.open(PHOTO)))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    return bytes(data)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "notes.txt": (lambda: b"no photo at all\n" * 40, "it is no image of a format that is read here: JPEG, PNG, WEBP"),
    "text.jpg": (lambda: b"no photo at all\n" * 40, "it is no image of a format that is read here"),
    "empty.jpg": (lambda: b"", "the file is empty (0 bytes)"),
    "short.jpg": (lambda: PHOTO.read_bytes()[:30_000], "it is damaged or cut short ("),
    "corrupt.png": (_corrupt, "it is damaged or cut short ("),
    "large.png": (
        lambda: image_bytes(Image.new("1", (10_000, 5_000))),
        "its 10000 × 5000 = 50,000,000 pixels are more than the 25,000,000 that are tested here; scale it down first",
    ),
    "bomb.png": (lambda: image_bytes(Image.new("1", (20_000, 20_000))), "exceeds limit"),
    "drawing.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "it is no image"),
}
"""Files that are no photos, and what is said of them."""
