"""Rescaling, crops and the mean, against PIL on the whole image and torchvision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import functional as reference

from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.preprocessing import (
    IMAGENET_COLOURS,
    Colours,
    centre_crop,
    colour_shifts,
    crop_rescaled,
    jitter_colours,
    net_input,
    rescale,
    rescaled_size,
    resized_crop,
    subtract_mean,
    training_crop,
)

PHOTO = load_sample_image("china.jpg")


def whole(pixels: Pixels, side: int) -> Pixels:
    """Pillow's own resize of the whole image."""
    image = Image.fromarray(pixels)
    return np.asarray(image.resize(rescaled_size(*image.size, side), Image.Resampling.BILINEAR))


def difference(ours: torch.Tensor, other: Pixels | torch.Tensor) -> int:
    """Largest difference of two images' pixels."""
    theirs = other if isinstance(other, torch.Tensor) else torch.from_numpy(other.copy()).permute(2, 0, 1)
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.uint8
    return int((ours.int() - theirs.int()).abs().max())


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 800))
def test_rescaling_keeps_the_shape_and_hits_the_smallest_side(width: int, height: int, side: int) -> None:
    """The smaller side becomes exactly S or Q, the other keeps the ratio to a pixel, rounded down."""
    new_width, new_height = rescaled_size(width, height, side)
    assert min(new_width, new_height) == side
    assert 0 <= width * side / min(width, height) - new_width < 1
    assert 0 <= height * side / min(width, height) - new_height < 1


@pytest.mark.parametrize("side", [224, 256, 384, 427, 800])
def test_rescaling_equals_torchvision(side: int) -> None:
    """The same size as its Resize, which timm's transforms use, and the same pixels to rounding."""
    expected = reference.resize(Image.fromarray(PHOTO), side)
    assert difference(rescale(PHOTO, side), np.asarray(expected)) <= 1


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 420), st.integers(1, 600)),
    st.integers(8, 512),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_crop_is_the_crop_of_the_rescaled_image(
    shape: tuple[int, int], scale: int, part: float, left: float, top: float, mirrored: bool
) -> None:
    """Resampling little more than the crop keeps gives the pixels of cropping after rescaling, to rounding."""
    photo = PHOTO[: shape[0], : shape[1]]
    scale = min(scale, 6 * min(shape), 4000 * min(shape) // max(shape))
    side = max(1, round(scale * part))
    expected = whole(photo, scale)
    y, x = round((expected.shape[0] - side) * top), round((expected.shape[1] - side) * left)
    expected = expected[y : y + side, x : x + side]
    crop = crop_rescaled(photo, scale, side, left, top, mirrored)
    assert difference(crop, expected[:, ::-1] if mirrored else expected) <= 2


def test_the_centre_crop_lies_in_the_centre() -> None:
    """It equals torchvision's Resize followed by CenterCrop, to rounding."""
    expected = reference.center_crop(reference.resize(Image.fromarray(PHOTO), 256), [224, 224])
    assert difference(centre_crop(PHOTO, 256, 224), np.asarray(expected)) <= 2


def test_a_crop_larger_than_the_image_is_refused() -> None:
    """The message names both sizes."""
    with pytest.raises(ValueError, match=r"crop of 224 pixels .* smallest side of 200 pixels"):
        centre_crop(PHOTO, 200, 224)


def test_training_crops_depend_on_the_generator_alone() -> None:
    """The same key gives the same crop, another key another one."""

    def crop(key: int) -> torch.Tensor:
        return training_crop(PHOTO, (256, 512), 224, True, np.random.Generator(np.random.Philox(key)))

    assert difference(crop(1), crop(1)) == 0
    assert difference(crop(1), crop(2)) > 0


def test_training_crops_draw_every_scale_and_mirror_half() -> None:
    """Over many draws S reaches both ends of its range and about half of the crops are mirrored."""
    ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 1, 3))  # dark left, bright right
    ranges, mirrored = set(), 0
    for key in range(400):
        pixels = training_crop(ramp, (32, 40), 32, True, np.random.Generator(np.random.Philox(key)))[0]
        mirrored += bool(pixels[0, 0] > pixels[0, -1])
        ranges.add(int(abs(int(pixels[0, 0]) - int(pixels[0, -1]))))
    assert 160 < mirrored < 240
    assert max(ranges) - min(ranges) > 40  # a 32-pixel crop spans all of the ramp at S=32 and four fifths at S=40


def test_without_flip_nothing_is_mirrored() -> None:
    """A mirrored digit is another digit."""
    ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 1, 3))
    for key in range(50):
        pixels = training_crop(ramp, (32, 40), 32, False, np.random.Generator(np.random.Philox(key)))[0]
        assert pixels[0, 0] < pixels[0, -1]


def test_only_the_mean_is_subtracted() -> None:
    """Values stay on the scale of 0–255 (Sect. 2.1)."""
    pixels = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None]
    images = subtract_mean(pixels, IMAGENET_MEAN)
    assert torch.equal(images[0, 2], pixels[0, 2].float() - 103.939)
    assert images.max() > 100


def test_a_net_that_learned_from_divided_images_gets_them() -> None:
    """As torchvision normalises them; the paper's own are bit-identical to those without a deviation."""
    pixels = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None]
    deviation = (58.395, 57.12, 57.375)
    found = net_input(pixels, replace(IMAGENET_COLOURS, deviation=deviation))
    expected = reference.normalize(
        pixels / 255, [value / 255 for value in IMAGENET_MEAN], [value / 255 for value in deviation]
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert torch.equal(net_input(pixels, IMAGENET_COLOURS), subtract_mean(pixels, IMAGENET_MEAN))


def test_the_colour_shift_is_krizhevskys() -> None:
    """[p1 p2 p3][α1λ1, α2λ2, α3λ3]ᵀ written out here number by number."""
    shifts = colour_shifts(torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.0, 1.0]]), IMAGENET_COLOURS)
    red = -0.5675 * 0.1 * 55.4625 + 0.7192 * -0.2 * 4.794 + 0.4009 * 0.3 * 1.1475
    assert shifts[0, 0].item() == pytest.approx(red, rel=1e-6)
    assert shifts[1].tolist() == pytest.approx([0.4009 * 1.1475, -0.8140 * 1.1475, 0.4203 * 1.1475])


def test_a_shift_of_one_moves_along_the_first_component() -> None:
    """Columns, not rows, of the eigenvectors."""
    colours = Colours(mean=(0.0, 0.0, 0.0), eigenvalues=(2.0, 0.0, 0.0), eigenvectors=((1, 4, 7), (2, 5, 8), (3, 6, 9)))
    assert colour_shifts(torch.ones(1, 3), colours).tolist() == [[2.0, 4.0, 6.0]]


@pytest.mark.parametrize(
    ("place", "adjust"),
    [(0, reference.adjust_brightness), (1, reference.adjust_contrast), (2, reference.adjust_saturation)],
)
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_colour_jitter_equals_torchvision(place: int, adjust: Callable[..., Any], factor: float) -> None:
    """Each of the three alone, to the rounding of torchvision's 8 bits."""
    pixels = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None]
    factors = torch.ones(1, 3)
    factors[0, place] = factor
    ours, theirs = jitter_colours(pixels.float(), factors), adjust(pixels, factor)
    assert (ours - theirs.float()).abs().max() <= 2


def test_colour_jitter_of_an_image_depends_on_it_alone() -> None:
    """Not on the others of its batch."""
    images = 255 * torch.rand(3, 3, 8, 8) * torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1)
    factors = torch.rand(3, 3) + 0.5
    alone = torch.cat([jitter_colours(images[one : one + 1], factors[one : one + 1]) for one in range(3)])
    torch.testing.assert_close(jitter_colours(images, factors), alone)


def test_resized_crops_are_parts_of_every_shape() -> None:
    """Over many draws the crop of a ramp covers from a small part to nearly all of it, and half are mirrored."""
    ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 1, 3))
    spans, mirrored = [], 0
    for key in range(300):
        crop = resized_crop(ramp, 32, True, np.random.Generator(np.random.Philox(key)))[0].int()
        assert crop.shape == (32, 32)
        mirrored += bool(crop[0, 0] > crop[0, -1])
        spans.append(abs(int(crop[0, 0] - crop[0, -1])))
    assert min(spans) < 90
    assert max(spans) > 225
    assert 110 < mirrored < 190
    assert resized_crop(np.zeros((1, 5000, 3), np.uint8), 32, True, np.random.default_rng(0)).shape == (3, 32, 32)
