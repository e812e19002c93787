"""Boxes on photos: their labels are inside, cover no other one, and are the first ones where room is short."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import long_names
from vgg_zoo.images.pictures import ROOM, Area, draw_boxes, place_labels
from vgg_zoo.style import ON_PHOTOS

SIDE = st.integers(1, 400)


@st.composite
def labelled(draw: Any) -> tuple[tuple[int, int], list[Area], list[tuple[float, float]]]:
    """A picture's size, boxes that may leave it, and labels that may not fit."""
    size = draw(SIDE), draw(SIDE)
    boxes, extents = [], []
    for _ in range(draw(st.integers(0, 12))):
        left, top = draw(st.floats(-20, size[0] + 20)), draw(st.floats(-20, size[1] + 20))
        boxes.append(Area(left, top, left + draw(st.floats(0, 300)), top + draw(st.floats(0, 300))))
        extents.append((draw(st.floats(1, 200)), draw(st.floats(1, 40))))
    return size, boxes, extents


@given(labelled())
def test_labels_never_meet(given_: tuple[tuple[int, int], list[Area], list[tuple[float, float]]]) -> None:
    """Nor leave the picture; each has its size."""
    size, boxes, extents = given_
    found = place_labels(size, boxes, extents)
    placed = [area for area in found if area is not None]
    assert not any(one.meets(other) for one, other in combinations(placed, 2))
    for area, (width, height) in zip(found, extents, strict=True):
        if area is not None:
            assert (area.right - area.left, area.bottom - area.top) == pytest.approx((width, height), abs=1e-6)
            assert min(area.left, area.top, size[0] - area.right, size[1] - area.bottom) >= 0


@settings(max_examples=50)
@given(labelled())
def test_a_label_is_left_out_only_where_no_room_is(
    given_: tuple[tuple[int, int], list[Area], list[tuple[float, float]]],
) -> None:
    """On whole pixels, every place is tried."""
    size, boxes, extents = given_
    size, whole = (size[0] // 8, size[1] // 8), [(width // 8 + 1, height // 8 + 1) for width, height in extents]
    found = place_labels(size, [Area(*(side // 8 for side in box)) for box in boxes], whole)
    taken: list[Area] = []
    for area, (width, height) in zip(found, whole, strict=True):
        if area is None:
            corners = ((x, y) for x in range(int(size[0] - width) + 1) for y in range(int(size[1] - height) + 1))
            for x, y in corners:
                assert any(Area(x, y, x + width, y + height).meets(other) for other in taken)
        else:
            taken.append(area)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), min_size=5, max_size=5))
def test_five_labels_have_room_on_a_photo(corners: list[tuple[int, int]]) -> None:
    """As many as `vgg-zoo localise` names, as wide as they become."""
    boxes = [Area(x, y, x + 140, y + 127) for x, y in corners]
    assert None not in place_labels((640, 427), boxes, [(0.6 * 640, 24)] * 5)


def test_a_label_alone_stands_on_its_box() -> None:
    """Or in it, at the upper border; moved in from the right one."""
    size, label = (300, 200), [(60.0, 20.0)]
    for box, corner in (
        (Area(50, 80, 150, 150), (50, 60)),
        (Area(50, 5, 150, 150), (50, 5)),
        (Area(280, 80, 299, 150), (240, 60)),
    ):
        (area,) = place_labels(size, [box], label)
        assert area is not None
        assert area[:2] == corner


@pytest.mark.parametrize("shape", [(8, 8), (40, 640), (640, 40), (427, 640), (640, 427), (1, 1), (3000, 4000)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_photos_of_all_sizes_are_drawn(shape: tuple[int, int], count: int) -> None:
    """Small ones enlarged, so that labels have room; each box shows its colour, whatever the names."""
    height, width = shape
    pixels = np.full((*shape, 3), 120, np.uint8)
    found = [
        (name, 0.5, (width * 0.1 * number, height * 0.1 * number, width * 0.9, height * 0.9))
        for number, name in enumerate(long_names(count))
    ]
    picture = draw_boxes(pixels, found)
    factor = max(1, ROOM // max(shape))
    assert picture.size == (width * factor, height * factor)
    assert max(picture.size) > ROOM // 2
    colours = {colour for _, colour in picture.getcolors(1 << 24) or ()}
    if count == 0:
        assert colours == {(120, 120, 120)}
    elif min(shape) >= 8:
        drawn = {tuple(bytes.fromhex(colour[1:])) for colour in ON_PHOTOS[:count]}
        assert drawn <= colours
