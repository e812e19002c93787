"""A box for each image (Appendix B, the action task): the whole image and its box are described, and stacked."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .images import Pixels
from .inputs import Input, several

Box = Sequence[float]
"""(left, top, right, bottom) in pixels of the upright image; parts outside the image are cut off."""


def split_pairs(images: Any, boxes: Iterable[Box] | None) -> tuple[Iterable[Input], Sequence[Box] | None]:
    """Images and their boxes apart.

    Args:
        images: Images, or pairs (image, box).
        boxes: One for each image; None for none, or if `images` has them.

    Raises:
        ValueError: Boxes given twice, or not one for each image.
    """
    images = several(images)
    if not hasattr(images, "__len__"):
        images = list(images)
    if isinstance(next(iter(images), None), tuple):
        if boxes is not None or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in images):
            raise ValueError("boxes for some images only, or twice; give (image, box) for each image, or boxes=")
        return [image for image, _ in images], [box for _, box in images]
    if boxes is None:
        return images, None
    boxes = list(boxes)
    if len(boxes) != len(images):
        raise ValueError(f"{len(boxes)} boxes for {len(images)} images; give one for each")
    return images, boxes


def part_in_box(pixels: Pixels, box: Box, named: str) -> Pixels:
    """The image's pixels (H, W, 3) in a box, which is cut to the image and widened to whole pixels.

    Args:
        pixels: (H, W, 3), uint8.
        box: In pixels of this image.
        named: The image in the message of an error.

    Raises:
        ValueError: No four numbers, or no pixel of the image.
    """
    height, width = pixels.shape[:2]
    corners = np.asarray(box, dtype=np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ValueError(f"{named}: a box is (left, top, right, bottom) in pixels; got {box!r}")
    left, top = (int(value) for value in np.floor(corners[:2]).clip(0))
    right, bottom = (int(value) for value in np.ceil(corners[2:]).clip(0, (width, height)))
    if left >= right or top >= bottom or (corners[:2] >= corners[2:]).any():
        raise ValueError(
            f"{named}: the box {tuple(corners.tolist())} has no pixel of the image of {width} × {height}; a box is "
            "(left, top, right, bottom) in pixels"
        )
    return pixels[top:bottom, left:right]
