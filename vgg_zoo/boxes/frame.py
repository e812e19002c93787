"""The frame in which a net predicts boxes (Appendix A), and the overlap of two boxes.

Boxes are (left, top, right, bottom). In an image they are fractions of its width and height, from 0 to 1, so they are
the same in the image and in the image rescaled to any S or Q.

The paper predicts "its center coordinates, width, and height" and does not say in which frame. We use the net's own
window, a crop of 224 pixels for the paper's nets. The origin is its centre, and the unit of all four numbers is its
side, so a box that fills the crop is (0, 0, 1, 1). The numbers then have about the range that the initial last layer
gives. A window gives the same numbers wherever it lies, so the net can be applied densely. A box is not clipped at the
window's border, because the net must infer the whole object from a part of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from vgg_zoo.configurations import STRIDE
from vgg_zoo.images.preprocessing import CropPlace

RIGHT_OVERLAP = 0.5
"""A predicted box is correct if its intersection over union with the true box is above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The square part of a rescaled image that a net sees.

    Attributes:
        height: Height of the rescaled image in pixels.
        width: Width of the rescaled image in pixels.
        top: First row of the window in this image.
        left: First column of the window.
        side: Side of the window in pixels.
        mirrored: Whether the net sees the window mirrored.
    """

    height: int
    width: int
    top: int = 0
    left: int = 0
    side: int
    mirrored: bool = False

    @classmethod
    def of_crop(cls, place: CropPlace, side: int, mirrored: bool = False) -> "Window":
        """The window of a crop by `vgg_zoo.images.preprocessing.crop_rescaled`."""
        height, width, top, left = place
        return cls(height=height, width=width, top=top, left=left, side=side, mirrored=mirrored)

    def to_target(self, boxes: Tensor) -> Tensor:
        """The targets of the net for some boxes.

        Args:
            boxes: (..., 4): left, top, right, bottom as fractions of the image's sides.

        Returns:
            (..., 4): centre (x, y), width and height in the window's frame.
        """
        left, top, right, bottom = in_pixels(boxes, self.height, self.width).unbind(-1)
        x = ((left + right) / 2 - self.left) / self.side - 0.5
        y = ((top + bottom) / 2 - self.top) / self.side - 0.5
        x = -x if self.mirrored else x
        return torch.stack([x, y, (right - left) / self.side, (bottom - top) / self.side], -1)

    def to_boxes(self, targets: Tensor) -> Tensor:
        """The boxes for a net's outputs: the inverse of `to_target`.

        Args:
            targets: (..., 4): centre (x, y), width and height in the window's frame. A negative width or height, which
                an untrained net may give, counts as 0.

        Returns:
            (..., 4): left, top, right, bottom as fractions of the image's sides; not clipped to the image.
        """
        x, y, w, h = targets.unbind(-1)
        x = self.left + ((-x if self.mirrored else x) + 0.5) * self.side
        y = self.top + (y + 0.5) * self.side
        w, h = w.clamp(min=0) * self.side / 2, h.clamp(min=0) * self.side / 2
        return torch.stack([x - w, y - h, x + w, y + h], -1) * x.new_tensor([1 / self.width, 1 / self.height] * 2)


def boxes_of_map(outputs: Tensor, height: int, width: int, side: int) -> Tensor:
    """The boxes that a net predicts when it is applied densely: each position of its map is a window.

    Args:
        outputs: (..., 4, h, w), in the frames of their windows; the next window is 32 pixels further.
        height: Height of the rescaled image in pixels.
        width: Width of the rescaled image in pixels.
        side: Side of a window in pixels.

    Returns:
        (..., h · w, 4), row by row: fractions of the image's sides; not clipped to the image.
    """
    rows, columns = outputs.shape[-2:]
    steps = STRIDE / side
    shift = torch.zeros(4, rows, columns, dtype=outputs.dtype, device=outputs.device)
    shift[0] += torch.arange(columns).to(shift) * steps
    shift[1] += torch.arange(rows).to(shift)[:, None] * steps
    in_first = (outputs + shift).flatten(-2).movedim(-2, -1)
    return Window(height=height, width=width, side=side).to_boxes(in_first)


def cut(boxes: Tensor) -> Tensor:
    """Boxes (..., 4), as fractions of the image's sides, clipped to the image."""
    return boxes.clamp(0, 1)


def fractions(boxes: Tensor, height: int, width: int) -> Tensor:
    """Convert boxes (..., 4) from pixels to fractions of the image's sides."""
    return boxes / boxes.new_tensor([width, height, width, height])


def in_pixels(boxes: Tensor, height: int, width: int) -> Tensor:
    """Convert boxes (..., 4) from fractions of the image's sides to pixels."""
    return boxes * boxes.new_tensor([width, height, width, height])


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes: the area that two share divided by the area that they cover together.

    Args:
        first: (N, 4), left, top, right, bottom in any unit: stretching an image along an axis has no effect.
        second: (M, 4).

    Returns:
        (N, M), from 0 to 1; 0 where both boxes are empty.
    """
    return box_iou(first, second).nan_to_num(0.0)
