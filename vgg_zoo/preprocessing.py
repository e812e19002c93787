"""From an image to the net's input: rescaling to S or Q, crops, flips, and the mean (Sect. 3.1, 3.2).

Pixels stay 8-bit until the whole batch is on its device; only there the mean is subtracted.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (123.68, 116.779, 103.939)
"""The paper's mean RGB of the ILSVRC training set, in 0–255."""


def rescaled_size(width: int, height: int, smallest_side: int) -> tuple[int, int]:
    """(width, height) of an image isotropically rescaled to `smallest_side` pixels.

    The longer side is cut to whole pixels as torchvision's and timm's transforms do it, so that ours give their pixels.
    """
    smaller = min(width, height)
    return int(smallest_side * width / smaller), int(smallest_side * height / smaller)


def rescale(image: Image.Image, smallest_side: int) -> Image.Image:
    """Rescale isotropically to a smallest side of S (training) or Q (testing) pixels, bilinear and antialiased."""
    return image.resize(rescaled_size(*image.size, smallest_side), Image.Resampling.BILINEAR)


def crop_rescaled(image: Image.Image, smallest_side: int, side: int, left: float, top: float) -> Image.Image:
    """The square crop of `rescale(image, smallest_side)`, computed without rescaling what the crop leaves out.

    Args:
        image: Any size.
        smallest_side: S or Q in pixels.
        side: Of the crop in pixels, at most `smallest_side`.
        left: Where the crop lies, from 0 (at the left border) to 1 (at the right border).
        top: Likewise, from the upper border to the lower.

    Raises:
        ValueError: The crop is larger than the rescaled image.
    """
    if side > smallest_side:
        raise ValueError(
            f"a crop of {side} pixels does not fit an image with a smallest side of {smallest_side} pixels"
        )
    width, height = rescaled_size(*image.size, smallest_side)
    x, y = round((width - side) * left), round((height - side) * top)
    to_x, to_y = image.width / width, image.height / height
    box = (x * to_x, y * to_y, min((x + side) * to_x, image.width), min((y + side) * to_y, image.height))
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


def training_crop(
    image: Image.Image, scales: tuple[int, int], side: int, flip: bool, generator: np.random.Generator
) -> Image.Image:
    """One random crop of a training image (Sect. 3.1): S drawn from a range, a place, and a flip.

    Args:
        image: Any size.
        scales: Smallest and largest S in pixels, both included; equal for single-scale training.
        side: Of the crop in pixels.
        flip: Mirror the crop with probability 1/2.
        generator: The only source of randomness. Four numbers are always drawn, whatever the arguments.
    """
    smallest_side = int(generator.integers(scales[0], scales[1], endpoint=True))
    left, top, mirror = generator.random(3)
    crop = crop_rescaled(image, smallest_side, side, left, top)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and mirror < 0.5 else crop


def centre_crop(image: Image.Image, smallest_side: int, side: int) -> Image.Image:
    """The centre crop of the image rescaled to Q: what most libraries call evaluation."""
    return crop_rescaled(image, smallest_side, side, 0.5, 0.5)


def to_pixels(image: Image.Image) -> Tensor:
    """(3, H, W), uint8."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def subtract_mean(pixels: Tensor, mean: tuple[float, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """The paper's only preprocessing (Sect. 2.1): RGB in 0–255 minus the training mean; no division by a deviation.

    Args:
        pixels: (B, 3, H, W), uint8.
        mean: RGB in 0–255.
        dtype: Of the result.
    """
    return pixels.to(dtype) - torch.tensor(mean, dtype=dtype, device=pixels.device).view(1, -1, 1, 1)
