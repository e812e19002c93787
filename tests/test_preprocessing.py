"""Rescaling, crops and the mean, against PIL on the whole image and torchvision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import functional as reference

from vgg_zoo.preprocessing import (
    IMAGENET_MEAN,
    centre_crop,
    crop_rescaled,
    rescale,
    rescaled_size,
    subtract_mean,
    to_pixels,
    training_crop,
)

PHOTO = Image.fromarray(load_sample_image("china.jpg"))


def difference(one: Image.Image, other: Image.Image) -> int:
    """Largest difference of two images' pixels."""
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 800))
def test_rescaling_keeps_the_shape_and_hits_the_smallest_side(width: int, height: int, side: int) -> None:
    """The smaller side becomes exactly S or Q, the other keeps the ratio to a pixel, rounded down."""
    new_width, new_height = rescaled_size(width, height, side)
    assert min(new_width, new_height) == side
    assert 0 <= width * side / min(width, height) - new_width < 1
    assert 0 <= height * side / min(width, height) - new_height < 1


@pytest.mark.parametrize("side", [224, 256, 384])
def test_rescaling_equals_torchvision(side: int) -> None:
    """The same size and the same pixels as its Resize, which timm's transforms use."""
    assert difference(rescale(PHOTO, side), reference.resize(PHOTO, side)) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(224, 512), st.floats(0, 1), st.floats(0, 1), st.integers(1, 224))
def test_a_crop_is_the_crop_of_the_rescaled_image(scale: int, left: float, top: float, side: int) -> None:
    """Resampling only what the crop keeps gives the pixels of cropping after rescaling, to rounding."""
    whole = rescale(PHOTO, scale)
    x, y = round((whole.width - side) * left), round((whole.height - side) * top)
    assert difference(crop_rescaled(PHOTO, scale, side, left, top), whole.crop((x, y, x + side, y + side))) <= 2


def test_the_centre_crop_lies_in_the_centre() -> None:
    """It equals torchvision's Resize followed by CenterCrop, to rounding."""
    expected = reference.center_crop(reference.resize(PHOTO, 256), [224, 224])
    assert difference(centre_crop(PHOTO, 256, 224), expected) <= 2


def test_a_crop_larger_than_the_image_is_refused() -> None:
    """The message names both sizes."""
    with pytest.raises(ValueError, match=r"crop of 224 pixels .* smallest side of 200 pixels"):
        centre_crop(PHOTO, 200, 224)


def test_training_crops_depend_on_the_generator_alone() -> None:
    """The same key gives the same crop, another key another one."""

    def crop(key: int) -> Image.Image:
        return training_crop(PHOTO, (256, 512), 224, True, np.random.Generator(np.random.Philox(key)))

    assert difference(crop(1), crop(1)) == 0
    assert difference(crop(1), crop(2)) > 0


def test_training_crops_draw_every_scale_and_mirror_half() -> None:
    """Over many draws S reaches both ends of its range and about half of the crops are mirrored."""
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))  # dark left, bright right
    ranges, mirrored = set(), 0
    for key in range(400):
        pixels = np.asarray(training_crop(ramp, (32, 40), 32, True, np.random.Generator(np.random.Philox(key))))
        mirrored += bool(pixels[0, 0] > pixels[0, -1])
        ranges.add(int(abs(int(pixels[0, 0]) - int(pixels[0, -1]))))
    assert 160 < mirrored < 240
    assert max(ranges) - min(ranges) > 40  # a 32-pixel crop spans all of the ramp at S=32 and four fifths at S=40


def test_without_flip_nothing_is_mirrored() -> None:
    """A mirrored digit is another digit."""
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    for key in range(50):
        pixels = np.asarray(training_crop(ramp, (32, 40), 32, False, np.random.Generator(np.random.Philox(key))))
        assert pixels[0, 0] < pixels[0, -1]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pixels_are_rgb_whatever_the_image(mode: str) -> None:
    """Three channels of 8 bits, rows before columns."""
    pixels = to_pixels(PHOTO.convert(mode))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, PHOTO.height, PHOTO.width)


def test_only_the_mean_is_subtracted() -> None:
    """Values stay on the scale of 0–255 (Sect. 2.1)."""
    pixels = to_pixels(PHOTO)[None]
    images = subtract_mean(pixels, IMAGENET_MEAN)
    assert torch.equal(images[0, 2], pixels[0, 2].float() - 103.939)
    assert images.max() > 100
