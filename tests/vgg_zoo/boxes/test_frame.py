"""The frame of a box: there and back, through crops, rescaling and flips, and on real pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vgg_zoo.boxes.frame import Window, boxes_of_map, cut, fractions, in_pixels, intersection_over_union
from vgg_zoo.images.preprocessing import crop_place, crop_rescaled, rescale

sides = st.integers(40, 700)
unit = st.floats(0, 1)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, int, int]:
    """A window of a crop, and the size of the image that it is of."""
    height, width, side = draw(sides), draw(sides), draw(st.integers(8, 64))
    scale = draw(st.integers(side, 3 * side))
    place = crop_place(height, width, scale, side, draw(unit), draw(unit))
    return Window.of_crop(place, side, draw(st.booleans())), height, width


boxes = st.tuples(unit, unit, unit, unit).map(
    lambda box: torch.tensor([min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])])
)


@settings(deadline=None)
@given(windows(), boxes)
def test_a_box_mapped_there_and_back_is_the_box(window: tuple[Window, int, int], box: torch.Tensor) -> None:
    """In any crop, at any scale, mirrored or not, also where the box reaches beyond the crop."""
    found = window[0].to_boxes(window[0].to_target(box.double()))
    torch.testing.assert_close(found, box.double(), atol=1e-9, rtol=0)


@settings(deadline=None)
@given(windows(), boxes)
def test_mirroring_changes_the_sign_of_the_horizontal_centre_alone(
    window: tuple[Window, int, int], box: torch.Tensor
) -> None:
    """The flipped crop of a flipped world is the same crop."""
    plain = Window(**{name: getattr(window[0], name) for name in ("height", "width", "top", "left", "side")})
    mirrored = Window.of_crop((plain.height, plain.width, plain.top, plain.left), plain.side, True)  # type: ignore[arg-type]
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored.to_target(box), plain.to_target(box) * signs)


@settings(deadline=None)
@given(windows(), boxes)
def test_pixels_and_fractions_are_inverse(window: tuple[Window, int, int], box: torch.Tensor) -> None:
    """A box in pixels of the image is the same box."""
    _, height, width = window
    torch.testing.assert_close(in_pixels(fractions(box, height, width), height, width), box)


@settings(deadline=None, max_examples=30)
@given(st.integers(120, 300), st.integers(120, 300), st.integers(64, 96), unit, unit, st.booleans(), st.randoms())
def test_the_target_is_where_the_object_is_in_the_crops_pixels(
    height: int, width: int, scale: int, left: float, top: float, mirrored: bool, random: object
) -> None:
    """A white rectangle on black: its place in the crop, seen by the pixels, is what the target says."""
    image = np.zeros((height, width, 3), np.uint8)
    x, y = width // 4, height // 3
    w, h = width // 2, height // 3
    image[y : y + h, x : x + w] = 255
    side = 64
    crop = crop_rescaled(image, scale, side, left, top, mirrored)[0].double() / 255
    window = Window.of_crop(crop_place(height, width, scale, side, left, top), side, mirrored)
    box = fractions(torch.tensor([x, y, x + w, y + h], dtype=torch.float64), height, width)
    cx, cy, tw, th = (
        (value + shift) * side for value, shift in zip(window.to_target(box), (0.5, 0.5, 0, 0), strict=True)
    )
    for profile, centre, length in ((crop.mean(0), cx, tw), (crop.mean(1), cy, th)):
        low, high = max(0.0, float(centre - length / 2)), min(float(side), float(centre + length / 2))
        if profile.max() > 0.2:  # enough of it is in the crop in the other dimension
            assert abs(float(profile.sum() / profile.max()) - (high - low)) < 1


def test_the_map_of_a_net_that_finds_the_object_everywhere_gives_the_object_everywhere() -> None:
    """Each place of the map is a window 32 pixels further."""
    height, width, side = 320, 448, 224
    box = torch.tensor([0.2, 0.3, 0.7, 0.9], dtype=torch.float64)
    rows, columns = (height - side) // 32 + 1, (width - side) // 32 + 1
    outputs = torch.stack(
        [
            torch.stack(
                [
                    Window(height=height, width=width, top=32 * row, left=32 * column, side=side).to_target(box)
                    for column in range(columns)
                ],
                -1,
            )
            for row in range(rows)
        ],
        -2,
    )
    found = boxes_of_map(outputs, height, width, side)
    assert found.shape == (rows * columns, 4)
    torch.testing.assert_close(found, box.expand_as(found))


def test_the_place_of_a_crop_is_that_of_its_pixels() -> None:
    """The crop at `crop_place` of the rescaled image is the crop."""
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    place = crop_place(90, 130, 64, 48, 0.7, 0.3)
    whole = rescale(image, 64)
    assert whole.shape[1:] == (place.height, place.width)
    part = whole[:, place.top : place.top + 48, place.left : place.left + 48]
    difference = (part.int() - crop_rescaled(image, 64, 48, 0.7, 0.3).int()).abs().max()
    assert difference <= 1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_overlaps_are_of_every_pair(seed: int, first: int, second: int) -> None:
    """Intersection over union, as computed one pair after the other."""
    generator = torch.Generator().manual_seed(seed)

    def some(count: int) -> torch.Tensor:
        corners = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return torch.cat([corners, corners + 1e-3 + torch.rand(count, 2, generator=generator, dtype=torch.float64)], 1)

    a, b = some(first), some(second)
    found = intersection_over_union(a, b)
    assert found.shape == (first, second)
    for i, one in enumerate(a.tolist()):
        for j, other in enumerate(b.tolist()):
            width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
            common = max(width, 0) * max(height, 0)
            areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
            assert found[i, j].item() == pytest.approx(common / (sum(areas) - common))


def test_empty_boxes_overlap_with_nothing() -> None:
    """A box without any area has no overlap, not even with itself, and gives no NaN."""
    empty = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert intersection_over_union(empty, empty).tolist() == [[0.0]]


def test_a_predicted_width_below_zero_is_none() -> None:
    """What an untrained net says is a box without area, never a reversed one."""
    box = Window(height=100, width=100, side=50).to_boxes(torch.tensor([0.0, 0.0, -1.0, 0.5]))
    assert box[0] == box[2]
    assert box[1] < box[3]


@pytest.mark.parametrize("box", [[-0.5, 0.2, 0.5, 1.5], [0.1, 0.2, 0.3, 0.4]])
def test_cut_keeps_what_is_inside_the_image(box: list[float]) -> None:
    """Nothing is left beyond 0 and 1."""
    found = cut(torch.tensor(box)).tolist()
    assert found == pytest.approx([min(1, max(0, value)) for value in box])
