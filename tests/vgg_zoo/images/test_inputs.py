"""Images on their way to the net: parts of bounded size, batches of one shape, boxes; every image once and in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import small
from vgg_zoo.images.inputs import batches_of_one_shape, decoded, in_parts, net_input, part_in_box, split_pairs

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


def test_pairs_of_images_and_boxes_are_taken_apart() -> None:
    """As a list of pairs or as two lists; a generator is taken as it comes."""
    boxes = [(0, 0, 1, 1), (0, 0, 2, 2)]
    assert split_pairs(["a.png", "b.png"], None) == (["a.png", "b.png"], None)
    for images, given_boxes in ((zip("ab", boxes, strict=True), None), (["a", "b"], iter(boxes))):
        assert split_pairs(images, given_boxes) == (["a", "b"], boxes)


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
