"""A net applied densely (Sect. 3.2) to an image of any size in bounded memory: trunk by tiles, FC layers by strips.

A cell of the trunk's map sees a bounded part of the image. So a tile of the map is exact when it is computed from the
tile's pixels and a halo of that reach; only there is the image's border padded with zeros, as for the image as a whole.

Works on the nets of the zoo and on timm's own `vgg*`, which have the same parts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import timm.models
import torch
from torch import Tensor, nn

from .configurations import STRIDE

_MOST_WINDOWS = 1024  # of the first FC layer at once: 100 MB of them at full width


def check_is_vgg(net: nn.Module) -> None:
    """Refuse what has no trunk and FC layers to be applied densely.

    Raises:
        ValueError: Neither a net of the zoo nor one of timm's VGGs.
    """
    if not isinstance(net, timm.models.VGG) or net.num_classes == 0:
        raise ValueError(
            f"a {type(net).__name__} cannot be applied densely: it takes a net of the zoo (vgg_a, ..., vgg_e) or "
            "one of timm's own (vgg11, ..., vgg19) with its last layer (num_classes above 0)"
        )


def smallest_side(net: Any) -> int:
    """Side in pixels of the image that gives one cell of the class score map: 224 for the paper's nets."""
    return STRIDE * int(net.pre_logits.input_kernel_size)


def halo(net: Any) -> int:
    """Cells by which a tile of the trunk's map must be larger on each side to be exact: 4 for net E.

    A cell reaches as far beyond its own 32 × 32 pixels as the paddings of all convs on the way add up to.
    """
    reach, jump = 0, 1
    for module in net.features.modules():
        if isinstance(module, nn.Conv2d):
            reach += int(module.padding[0]) * jump
        elif isinstance(module, nn.MaxPool2d):
            jump *= 2
    return -(-reach // STRIDE)


@contextmanager
def pooling(net: nn.Module, ceil_mode: bool) -> Iterator[None]:
    """Max-pools that round their size up, as Caffe's do, or down, as PyTorch's."""
    pools = [module for module in net.modules() if isinstance(module, nn.MaxPool2d)]
    before = [pool.ceil_mode for pool in pools]
    try:
        for pool in pools:
            pool.ceil_mode = ceil_mode
        yield
    finally:
        for pool, mode in zip(pools, before, strict=True):
            pool.ceil_mode = mode


def class_score_map(net: Any, images: Tensor) -> Tensor:
    """The class score map of images that fit memory.

    Args:
        net: In eval mode.
        images: (B, 3, H, W), as the net takes them.

    Returns:
        (B, num_classes, h, w); h = ⌊H/32⌋ − 6 for the paper's nets, at least 1.
    """
    return _class_scores(net, net.forward_features(images))


def tiled_class_score_map(net: Any, pixels: Tensor, prepare: Callable[[Tensor], Tensor], most_pixels: int) -> Tensor:
    """The class score map of one image of any size, equal to that of `class_score_map` but for rounding.

    Args:
        net: In eval mode, in the pooling mode that is wanted.
        pixels: (3, H, W), uint8, on any device.
        prepare: Makes the net's input of (B, 3, h, w) pixels.
        most_pixels: Of a tile without its halo.

    Returns:
        (1, num_classes, h, w).
    """
    features = _tiled_features(net, pixels, prepare, most_pixels)
    kernel = int(net.pre_logits.input_kernel_size)
    rows, columns = features.shape[2] - kernel + 1, features.shape[3] - kernel + 1
    if rows < 1 or columns < 1:
        return _class_scores(net, features)
    strip = max(1, _MOST_WINDOWS // columns)
    strips = [features[:, :, row : row + strip + kernel - 1] for row in range(0, rows, strip)]
    return torch.cat([_class_scores(net, part) for part in strips], dim=2)


def _class_scores(net: Any, features: Tensor) -> Tensor:
    hidden = net.pre_logits(features)
    return net.head.fc(hidden.movedim(1, -1)).movedim(-1, 1)


def _tiled_features(net: Any, pixels: Tensor, prepare: Callable[[Tensor], Tensor], most_pixels: int) -> Tensor:
    ceil_mode = any(pool.ceil_mode for pool in net.features.modules() if isinstance(pool, nn.MaxPool2d))
    height, width = (_cells(side, ceil_mode) for side in pixels.shape[1:])
    side = max(1, int(most_pixels**0.5) // STRIDE)
    margin = halo(net)
    rows = []
    for top in range(0, height, side):
        row = []
        for left in range(0, width, side):
            y, x = _span(top, side, height, margin), _span(left, side, width, margin)
            tile = net.forward_features(prepare(pixels[None, :, y.pixels, x.pixels]))
            row.append(tile[:, :, y.cells, x.cells].clone())
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


class _Span:
    """One dimension of a tile: its pixels with the halo, and its cells in what they give."""

    def __init__(self, pixels: slice, cells: slice) -> None:
        self.pixels, self.cells = pixels, cells


def _span(start: int, count: int, total: int, margin: int) -> _Span:
    before = min(start, margin)
    begin, end = start - before, start + count + margin
    # The last pixels, fewer than a cell, belong to the image's border.
    pixels = slice(begin * STRIDE, None if end >= total else end * STRIDE)
    return _Span(pixels, slice(before, before + min(count, total - start)))


def _cells(side: int, ceil_mode: bool) -> int:
    for _ in range(5):
        side = -(-side // 2) if ceil_mode else side // 2
    return side
