"""README's pictures are there for light and for dark pages, and load fast."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgg_zoo.style import DARK, LIGHT

ROOT = Path(__file__).resolve().parents[1]
PICTURES = re.findall(
    r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\n'
    r'<img src="([^"]+)" width="800" alt="[^"]+">',
    (ROOT / "README.md").read_text(),
)


def test_every_picture_has_both_grounds() -> None:
    """And a width that a page of GitHub's has."""
    text = (ROOT / "README.md").read_text()
    assert len(PICTURES) == text.count("<picture>") == text.count("<img") >= 2


@pytest.mark.parametrize(("dark", "light"), PICTURES)
def test_a_picture_is_on_its_ground(dark: str, light: str) -> None:
    """The same one twice, less than 300 kB, with pixels for 800 of a page."""
    corners = []
    for path in (dark, light):
        assert (ROOT / path).stat().st_size < 300_000
        with Image.open(ROOT / path) as picture:
            assert picture.width >= 800
            corners.append((picture.size, np.asarray(picture.convert("RGB"))[0, 0].tolist()))
    assert corners[0][0] == corners[1][0]
    assert [corner for _, corner in corners] == [list(bytes.fromhex(each.ground[1:])) for each in (DARK, LIGHT)]
