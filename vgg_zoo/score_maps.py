"""What a net says at every place of images of any size (Sect. 3.2): in one piece, in batches, or in tiles."""

from functools import partial

import torch
from torch import Tensor, nn

from .dense import class_score_map, pooling, tiled_class_score_map
from .inputs import net_input


def score_maps(net: nn.Module, pixels: Tensor, ceil_mode: bool, most_pixels: int) -> Tensor:
    """The map of the net's outputs, of images of one shape.

    Args:
        net: A net of the zoo or timm's own `vgg*`, in eval mode.
        pixels: (B, 3, H, W), uint8, RGB in 0–255, at the scale that is tested.
        ceil_mode: Max-pools round their size up, as Caffe's did.
        most_pixels: That go through the net at once.

    Returns:
        (B, outputs, h, w), at least float32; h = ⌊H/32⌋ − 6 for the paper's nets.
    """
    area, prepare = pixels.shape[2] * pixels.shape[3], partial(net_input, net)
    with pooling(net, ceil_mode):
        if area > most_pixels:
            maps = [tiled_class_score_map(net, image, prepare, most_pixels) for image in pixels]
        else:
            parts = pixels.split(max(1, most_pixels // area))
            maps = [class_score_map(net, prepare(part)) for part in parts]
    scores = torch.cat(maps)
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores  # soft-max needs more
