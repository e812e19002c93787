"""Training crops for boxes (Appendix A): as for classes, but each shows the object's centre."""

import numpy as np
from torch import Tensor

from vgg_zoo.boxes.frame import Window
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.preprocessing import crop_place, crop_rescaled, rescaled_size


def training_box_crop(
    pixels: Pixels,
    box: Tensor,
    scales: tuple[int, int],
    side: int,
    flip: bool,
    generator: np.random.Generator,
) -> tuple[Tensor, Window]:
    """One random crop of a training image, and its window.

    It is drawn like `training_crop`, but only from positions that contain the centre of the box, because nothing can be
    learned from a crop that does not show the object. The paper does not say how to choose.

    Args:
        pixels: (H, W, 3), uint8.
        box: (4,): left, top, right, bottom as fractions of the image's sides, inside it.
        scales: Smallest and largest S in pixels, both included.
        side: Side of the crop in pixels.
        flip: Mirror the crop with probability 1/2.
        generator: The only source of randomness. Four numbers are always drawn, whatever the arguments.

    Returns:
        (3, side, side) of uint8, and the crop's window.
    """
    smallest_side = int(generator.integers(scales[0], scales[1], endpoint=True))
    left, top, mirror = generator.random(3)
    height, width = pixels.shape[:2]
    to_width, to_height = rescaled_size(width, height, smallest_side)
    x, y = ((box[:2] + box[2:]) / 2).tolist()
    left, top = _holding(x, to_width, side, left), _holding(y, to_height, side, top)
    mirrored = bool(flip and mirror < 0.5)
    window = Window.of_crop(crop_place(height, width, smallest_side, side, left, top), side, mirrored)
    return crop_rescaled(pixels, smallest_side, side, left, top, mirrored), window


def _holding(centre: float, length: int, side: int, draw: float) -> float:
    """The position of a crop, from 0 to 1, drawn from those that contain a centre.

    Args:
        centre: Position of the centre in the rescaled image, from 0 to 1.
        length: Length of the rescaled image in pixels.
        side: Side of the crop in pixels.
        draw: Uniform from 0 to 1.
    """
    free = length - side
    if free == 0:
        return 0.0
    first, last = max(0.0, centre * length - side), min(float(free), centre * length)
    return (first + draw * (last - first)) / free
