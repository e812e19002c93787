"""Images on their way to the net: parts of bounded size, batches of one shape, boxes; every image once and in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers import small
from vgg_zoo.images import inputs
from vgg_zoo.images.decoding import BadImageError
from vgg_zoo.images.inputs import (
    batches_of_one_shape,
    decode_each,
    decoded,
    in_parts,
    net_input,
    part_in_box,
    several,
    with_boxes,
)

SIDES = st.lists(st.none() | st.integers(1, 9), max_size=20)


@given(sides=SIDES, most=st.integers(1, 500))
def test_parts_hold_every_image_once_in_order_and_are_cut_where_they_are_full(
    sides: list[int | None], most: int
) -> None:
    """A part without its last image is within the limit, and only the last part need not be full."""
    images = [None if side is None else [torch.zeros(3, side, side, dtype=torch.uint8)] for side in sides]
    parts = list(in_parts(iter(images), most))
    assert [image for part in parts for image in part] == images
    sizes = [[0 if image is None else image[0].numel() for image in part] for part in parts]
    assert all(sum(part[:-1]) <= most for part in sizes)
    assert all(sum(part) > most for part in sizes[:-1])


@given(sides=SIDES, most=st.integers(1, 500))
def test_batches_hold_every_image_once_and_are_of_one_shape(sides: list[int | None], most: int) -> None:
    """Within the limit of pixels, or of one image."""
    images = [
        None if side is None else torch.full((3, side, 2), place, dtype=torch.uint8) for place, side in enumerate(sides)
    ]
    seen = []
    for batch, places in batches_of_one_shape(images, most):
        assert len(batch) == 1 or batch[:, 0].numel() <= most
        assert batch[:, 0, 0, 0].tolist() == places
        seen += places
    assert sorted(seen) == [place for place, side in enumerate(sides) if side is not None]


@given(box=st.tuples(*[st.floats(-30, 60, allow_nan=False)] * 4), height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_box_holds_the_pixels_that_it_touches(box: tuple[float, ...], height: int, width: int) -> None:
    """Those whose square it overlaps; one without any is refused, with the image's name."""
    pixels = np.arange(height * width * 3).reshape(height, width, 3).astype(np.uint8)
    left, top, right, bottom = box
    touched = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            touched[y, x] = min(x + 1, right) > max(x, left) and min(y + 1, bottom) > max(y, top)
    if touched.any():
        rows, columns = touched.any(1).nonzero()[0], touched.any(0).nonzero()[0]
        expected = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_array_equal(part_in_box(pixels, box, "image 3"), expected)
    else:
        with pytest.raises(ValueError, match="image 3: the box"):
            part_in_box(pixels, box, "image 3")


def test_images_come_with_their_boxes() -> None:
    """As pairs or as two iterables; a generator is drawn from as it is needed."""
    boxes, pairs = [(0, 0, 1, 1), (0, 0, 2, 2)], [("a", (0, 0, 1, 1)), ("b", (0, 0, 2, 2))]
    found, boxed = with_boxes(["a.png", "b.png"], None)
    assert (list(found), boxed) == ([("a.png", None), ("b.png", None)], False)
    for images, given_boxes in ((zip("ab", boxes, strict=True), None), (iter(["a", "b"]), iter(boxes))):
        found, boxed = with_boxes(images, given_boxes)
        assert (list(found), boxed) == (pairs, True)
    drawn, boxed = with_boxes(_failing(), None)
    assert next(drawn) == ("first", None)
    for images, boxes_given, message in (
        (["a"], boxes, "2 boxes for 1 images"),
        (["a", "b", "c"], boxes, "2 boxes for 3 images"),
        ([*pairs, "c"], None, "only some images have boxes"),
        (pairs, boxes, "boxes are given twice"),
    ):
        with pytest.raises(ValueError, match=message):
            list(with_boxes(images, boxes_given)[0])


def _failing() -> Iterator[str]:
    yield "first"
    raise AssertionError("drawn too early")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.zeros((3, 20, 30), np.uint8),
            r"\(3, 20, 30\) uint8; for \(C, H, W\) give image.transpose\(1, 2, 0\)",
        ),
        (np.zeros((0, 5, 3), np.uint8), r"not empty; got an array of \(0, 5, 3\)"),
        (np.zeros((4, 5, 2), np.uint8), r"got an array of \(4, 5, 2\)"),
        (np.zeros((4, 5, 3)), r"multiply floats in 0–1 by 255"),
        (np.zeros(7, np.uint8), r"got an array of \(7,\)"),
        (
            torch.zeros(3, 4, 5),
            r"has uint8, 0–255, before any .*; got a tensor of \(3, 4, 5\) torch.float32",
        ),
        ([np.zeros((4, 5, 3), np.uint8)], "got a list"),
        (None, "got a NoneType"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_out(image: Any, message: str) -> None:
    """Never taken for another one."""
    with pytest.raises(ValueError, match=message):
        decoded(image)


def test_arrays_of_one_channel_are_grey() -> None:
    """(H, W, 1) as (H, W)."""
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    np.testing.assert_array_equal(decoded(grey[:, :, None]), decoded(grey))
    assert decoded(grey).shape == (4, 5, 3)


@pytest.mark.parametrize(
    "one",
    [
        *(np.zeros(shape, np.uint8) for shape in ((5, 6), (5, 6, 3), (5, 6, 4), (3, 5, 6), (1, 5, 6), (5, 6, 1))),
        *("a.png", Path("a.png"), b"", Image.new("RGB", (1, 1)), {"bytes": b"", "path": None}, 7, None),
    ],
)
def test_one_image_is_not_taken_for_several(one: Any) -> None:
    """Rows, letters, colours."""
    with pytest.raises(ValueError, match=r"but several are expected; give a list: \[image\]"):
        several(one)


def test_several_images_in_one_object() -> None:
    """A stack of greys or colours, and columns of tables."""
    stack = np.zeros((5, 8, 9), np.uint8)
    assert several(stack) is stack
    assert len(several(np.zeros((5, 8, 9, 3), np.uint8))) == 5
    table = pandas.DataFrame({"path": ["a", "b"], "label": [0, 1]}, index=[7, 3])
    assert list(several(table["path"])) == list(several(table[["path"]])) == ["a", "b"]
    assert list(several(table[["path"]].to_numpy())) == ["a", "b"]
    with pytest.raises(ValueError, match=r"a table of 2 columns; give its column of images, table\[name\]"):
        several(table)


def test_no_more_images_are_decoded_ahead_than_memory_allows() -> None:
    """In order, with the problem; a bounded number of images is drawn ahead from the caller's generator."""
    drawn: list[int] = []

    def images() -> Iterator[tuple[Any, int]]:
        for number in range(200):
            drawn.append(number)
            yield (b"no image" if number % 50 == 7 else np.full((4, 4), number, np.uint8)), number

    def prepare(pixels: Any, named: str, number: int) -> int:
        assert named == f"image {number}"
        return int(pixels[0, 0, 0])

    found = []
    for place, (named, value) in enumerate(decode_each(images(), prepare, lambda _: 10**12)):
        assert named == f"image {place}"
        assert len(drawn) <= max(place + 4, inputs._AHEAD + 1)  # large ones: two wait, once it is known
        found.append(value)
    assert [value for value in found if not isinstance(value, BadImageError)] == [n for n in range(200) if n % 50 != 7]


def test_an_error_of_the_callers_images_is_theirs() -> None:
    """Nothing hangs, and nothing is decoded afterwards."""

    def images() -> Iterator[tuple[Any, None]]:
        yield np.zeros((4, 4), np.uint8), None
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(decode_each(images(), lambda pixels, named, beside: 0, lambda _: 1))


def test_an_undecoded_image_of_datasets_is_its_bytes_or_its_path() -> None:
    """Bytes first, as `datasets` does it."""
    with pytest.raises(ValueError, match=r"the file is empty \(0 bytes\)"):
        decoded({"bytes": b"", "path": "nowhere.png"})
    with pytest.raises(ValueError, match="the file cannot be read"):
        decoded({"bytes": None, "path": "nowhere.png"})


def test_the_nets_input_is_as_its_cfg_says() -> None:
    """In the type of its weights."""
    net = small().double()
    pixels = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1).double() for key in ("mean", "std"))
    torch.testing.assert_close(net_input(net, pixels), (pixels.double() / 255 - mean) / std, rtol=1e-6, atol=1e-6)
