"""What a net says at every place of images of any size (Sect. 3.2): in one piece, in batches, or in tiles."""

from functools import partial

import torch
from torch import Tensor, nn

from .dense import class_score_map, pooling, tiled_class_score_map
from .fast_copies import net_for
from .inputs import net_input


def score_maps(net: nn.Module, pixels: Tensor, ceil_mode: bool, most_pixels: int, exact: bool = False) -> Tensor:
    """The map of the net's outputs, of images of one shape.

    Args:
        net: A net of the zoo or timm's own `vgg*`, in eval mode.
        pixels: (B, 3, H, W), uint8, RGB in 0–255, at the scale that is tested.
        ceil_mode: Max-pools round their size up, as Caffe's did.
        most_pixels: That go through the net at once.
        exact: Run the net itself, where on a CPU its fast copy (`vgg_zoo.fast_inference`) would do.

    Returns:
        (B, outputs, h, w), at least float32; h = ⌊H/32⌋ − 6 for the paper's nets.
    """
    area, prepare = pixels.shape[2] * pixels.shape[3], partial(net_input, net)
    runs = net_for(net, exact)
    with pooling(runs, ceil_mode):
        if area > most_pixels:
            maps = [tiled_class_score_map(runs, image, prepare, most_pixels) for image in pixels]
        else:
            parts = pixels.split(max(1, most_pixels // area))
            maps = [class_score_map(runs, prepare(part)) for part in parts]
    scores = torch.cat(maps)
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores  # soft-max needs more
