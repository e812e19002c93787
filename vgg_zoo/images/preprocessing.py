"""From an image to the net's input: rescaling to S or Q, crops, flips, and the mean (Sect. 3.1, 3.2).

Pixels stay 8-bit until the whole batch is on its device. Only then is the mean subtracted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.devices import constant, constant_like
from vgg_zoo.images.decoding import Pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """The colours of a training set: its mean, and the principal components for Krizhevsky's colour shift.

    Attributes:
        mean: RGB in 0–255.
        eigenvalues: Eigenvalues of the covariance of RGB in [0, 1], times 255: Krizhevsky's λ for pixels in 0–255.
        eigenvectors: One row for each of R, G, B; columns are the components.
        deviation: Divisor of RGB minus the mean, in 0–255. It is 1 for the paper's nets; other weights may have learned
            from divided images.

    Raises:
        ValueError: There are too few or too many numbers, one is not finite, the mean is outside 0–255, or the
            deviation is not above 0.
    """

    mean: tuple[float, ...]
    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        rows = self.eigenvectors if isinstance(self.eigenvectors, tuple) else ()
        if not _three_numbers(self.mean) or not all(0 <= value <= 255 for value in self.mean):
            raise ValueError(f"mean must be three numbers from 0 to 255; got {self.mean!r}")
        if not _three_numbers(self.eigenvalues):
            raise ValueError(f"eigenvalues must be three finite numbers; got {self.eigenvalues!r}")
        if len(rows) != 3 or not all(map(_three_numbers, rows)):
            raise ValueError(f"eigenvectors must be three rows of three finite numbers; got {self.eigenvectors!r}")
        if not _three_numbers(self.deviation) or min(self.deviation) <= 0:
            raise ValueError(f"deviation must be three numbers above 0; got {self.deviation!r}")

    @property
    def divides(self) -> bool:
        """Whether images are divided by a deviation."""
        return self.deviation != (1.0, 1.0, 1.0)


def _three_numbers(values: object) -> bool:
    """Whether the value is a tuple of three finite numbers; a bool is no number."""
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(math.isfinite(value) for value in values)
    )


IMAGENET_COLOURS = Colours(
    mean=IMAGENET_MEAN,
    eigenvalues=(0.2175 * 255, 0.0188 * 255, 0.0045 * 255),
    eigenvectors=((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)),
)
"""Colours of the ILSVRC training set, as published with the code of Krizhevsky et al. (2012)."""


def rescaled_size(width: int, height: int, smallest_side: int) -> tuple[int, int]:
    """(width, height) of an image isotropically rescaled to `smallest_side` pixels.

    The longer side is rounded down, as in torchvision's and timm's transforms, so that the pixels are the same.
    """
    smaller = min(width, height)
    return int(smallest_side * width / smaller), int(smallest_side * height / smaller)


def rescale(pixels: Pixels, smallest_side: int) -> Tensor:
    """Rescale isotropically to a smallest side of S (training) or Q (testing) pixels, bilinear and antialiased.

    Args:
        pixels: (H, W, 3), uint8.
        smallest_side: S or Q in pixels.

    Returns:
        (3, h, w), uint8, with min(h, w) == smallest_side.
    """
    height, width = pixels.shape[:2]
    to_width, to_height = rescaled_size(width, height, smallest_side)
    return _part_of_resized(pixels, (to_height, to_width), (0, 0), (to_height, to_width))


def crop_rescaled(
    pixels: Pixels, smallest_side: int, side: int, left: float, top: float, mirrored: bool = False
) -> Tensor:
    """A square crop of `rescale(pixels, smallest_side)`, computed without rescaling most pixels outside the crop.

    Args:
        pixels: (H, W, 3), uint8.
        smallest_side: S or Q in pixels.
        side: Side of the crop in pixels, at most `smallest_side`.
        left: Position of the crop, from 0 (at the left border) to 1 (at the right border).
        top: Position of the crop, from 0 (at the upper border) to 1 (at the lower border).
        mirrored: Mirror the crop.

    Returns:
        (3, side, side), uint8.

    Raises:
        ValueError: The crop is larger than the rescaled image.
    """
    place = crop_place(pixels.shape[0], pixels.shape[1], smallest_side, side, left, top)
    size = (place.height, place.width)
    return _part_of_resized(pixels, size, (place.top, place.left), (side, side), mirrored)


class CropPlace(NamedTuple):
    """Position of a crop: the size of the rescaled image, and the crop's first row and column in it, in pixels."""

    height: int
    width: int
    top: int
    left: int


def crop_place(height: int, width: int, smallest_side: int, side: int, left: float, top: float) -> CropPlace:
    """Position of `crop_rescaled` in an image of height × width pixels; arguments and errors are the same."""
    if side > smallest_side:
        raise ValueError(
            f"a crop of {side} pixels does not fit an image with a smallest side of {smallest_side} pixels"
        )
    to_width, to_height = rescaled_size(width, height, smallest_side)
    return CropPlace(to_height, to_width, round((to_height - side) * top), round((to_width - side) * left))


def _part_of_resized(
    pixels: Pixels, size: tuple[int, int], place: tuple[int, int], part: tuple[int, int], mirrored: bool = False
) -> Tensor:
    """A rectangle of the image resized to `size`; pairs are (vertical, horizontal), in pixels.

    PyTorch's 8-bit kernel is three times as fast as Pillow's, but always resizes from a corner. So the image is flipped
    until the rectangle is near that corner, and cropped after it.
    """
    spans = [_span(*numbers) for numbers in zip(pixels.shape, size, place, part, strict=False)]
    turned = [dimension for dimension, span in enumerate(spans, 2) if span.turned]
    source = np.require(pixels[spans[0].source, spans[1].source], requirements=["C", "W"])
    image = torch.from_numpy(source).permute(2, 0, 1)[None]  # NHWC, which PyTorch flips and resizes fastest
    if turned:
        image = image.flip(turned)
    if spans[0].factor != 1 or spans[1].factor != 1:
        image = F.interpolate(image, scale_factor=[span.factor for span in spans], mode="bilinear", antialias=True)
    image = image[:, :, spans[0].result, spans[1].result]
    back = [dimension for dimension in (2, 3) if (dimension in turned) != (mirrored and dimension == 3)]
    return (image.flip(back) if back else image)[0].contiguous()


class _Span(NamedTuple):
    """One dimension of `_part_of_resized`."""

    turned: bool
    source: slice
    factor: float
    result: slice


def _span(length: int, resized: int, start: int, part: int) -> _Span:
    """Which of `length` pixels to resize, the factor, and where the `part` pixels from `start` are in the result."""
    behind = resized - start - part
    turned = behind < start
    end = min(start, behind) + part
    pixel = length / resized
    needed = math.ceil(end * pixel + max(pixel, 1)) + 1  # the reach of the last pixel's triangle filter
    if resized > length:  # PyTorch does not resize a dimension whose size stays the same
        needed = max(needed, math.ceil(length / (resized - length)))
    needed = min(needed, length)
    source = slice(length - needed, length) if turned else slice(0, needed)
    factor = 1.0 if resized == length else resized / length * (1 + 1e-12)  # PyTorch multiplies, and rounds down
    return _Span(turned, source, factor, slice(end - part, end))


def training_crop(
    pixels: Pixels, scales: tuple[int, int], side: int, flip: bool, generator: np.random.Generator
) -> Tensor:
    """One random crop of a training image (Sect. 3.1): S drawn from a range, a position, and a flip.

    Args:
        pixels: (H, W, 3), uint8.
        scales: Smallest and largest S in pixels, both included; equal for single-scale training.
        side: Of the crop in pixels.
        flip: Mirror the crop with probability 1/2.
        generator: The only source of randomness. Four numbers are always drawn, whatever the arguments.

    Returns:
        (3, side, side), uint8.
    """
    smallest_side = int(generator.integers(scales[0], scales[1], endpoint=True))
    left, top, mirror = generator.random(3)
    return crop_rescaled(pixels, smallest_side, side, left, top, mirrored=flip and mirror < 0.5)


def resized_crop(
    pixels: Pixels,
    side: int,
    flip: bool,
    generator: np.random.Generator,
    area: tuple[float, float] = (0.08, 1.0),
    shape: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """A random part of the image stretched to a square: not the paper's crop, but that of later trainings.

    Args:
        pixels: (H, W, 3), uint8.
        side: Of the crop in pixels.
        flip: Mirror the crop with probability 1/2.
        generator: The only source of randomness.
        area: Smallest and largest fraction of the image's area.
        shape: Smallest and largest width / height, drawn uniformly in the logarithm.

    Returns:
        (3, side, side), uint8.
    """
    height, width = pixels.shape[:2]
    for _ in range(10):
        wanted, ratio = generator.uniform(*area) * width * height, np.exp(generator.uniform(*np.log(shape)))
        h, w = round((wanted / ratio) ** 0.5), round((wanted * ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            break
    else:  # the image is so wide or high that none of ten attempts fitted: take a square
        h = w = min(height, width)
    left, top, mirror = generator.random(3)
    y, x = round((height - h) * top), round((width - w) * left)
    whole = (side, side)
    return _part_of_resized(pixels[y : y + h, x : x + w], whole, (0, 0), whole, mirrored=flip and mirror < 0.5)


def centre_crop(pixels: Pixels, smallest_side: int, side: int) -> Tensor:
    """The centre crop of the image rescaled to Q, as in most libraries' evaluation: (3, side, side), uint8."""
    return crop_rescaled(pixels, smallest_side, side, 0.5, 0.5)


def subtract_mean(pixels: Tensor, mean: tuple[float, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """The paper's only preprocessing (Sect. 2.1): RGB in 0–255 minus the training mean, without a division.

    Args:
        pixels: (B, 3, H, W), uint8.
        mean: RGB in 0–255.
        dtype: Type of the result.
    """
    images = pixels.to(dtype)
    return images - constant_like(images, mean)


def net_input(pixels: Tensor, colours: Colours, dtype: torch.dtype = torch.float32) -> Tensor:
    """The input of a net that was trained with these colours: RGB in 0–255 minus their mean, divided by their
    deviation.

    Args:
        pixels: (B, 3, H, W), uint8.
        colours: Colours of the training images of the net or its weights.
        dtype: Type of the result.
    """
    images = subtract_mean(pixels, colours.mean, dtype)
    return images / constant_like(images, colours.deviation) if colours.divides else images


def colour_shifts(amounts: Tensor, colours: Colours) -> Tensor:
    """Krizhevsky's colour shift (Sect. 3.1), which is added to every pixel of each image.

    Args:
        amounts: (B, 3), the α of each component, drawn from N(0, 0.1²) once for each use of an image.
        colours: Colours of the training set.

    Returns:
        (B, 3): [p1 p2 p3][α1λ1, α2λ2, α3λ3]ᵀ, for RGB in 0–255.
    """
    vectors, values = (constant(amounts, numbers) for numbers in (colours.eigenvectors, colours.eigenvalues))
    return (amounts * values) @ vectors.T


def jitter_colours(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation of each image by its factors, in this order; this is not in the
    paper.

    Args:
        images: (B, 3, H, W), RGB in 0–255.
        factors: (B, 3), around 1.

    Returns:
        (B, 3, H, W), RGB in 0–255.
    """
    brightness, contrast, saturation = factors.to(images)[:, :, None, None, None].unbind(1)
    luma = constant_like(images, (0.299, 0.587, 0.114))
    images = (images * brightness).clamp(0, 255)
    middle = (images * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = (middle + (images - middle) * contrast).clamp(0, 255)
    grey = (images * luma).sum(1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 255)
