"""A net applied densely (Sect. 3.2) to an image of any size in bounded memory: trunk by tiles, FC layers by strips.

A cell of the trunk's map sees a bounded part of the image. So a tile of the map is exact when it is computed from the
tile's pixels and a halo of that reach; only there is the image's border padded with zeros, as for the image as a whole.

Works on the nets of the zoo and on timm's own `vgg*`, which have the same parts.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vgg_zoo.configurations import STRIDE
from vgg_zoo.fast.copies import net_for
from vgg_zoo.images.inputs import net_input

_MOST_WINDOWS = 1024  # of the first FC layer at once: 100 MB of them at full width


def halo(net: Any) -> int:
    """Cells by which a tile of the trunk's map must be larger on each side to be exact: 4 for net E."""
    return reach(net.features.modules(), STRIDE)


def reach(modules: Iterable[nn.Module], stride: int) -> int:
    """How many cells of `stride` pixels a cell of the modules' map sees beyond its own pixels, at the most.

    It reaches as far as the paddings of all convs on the way add up to.
    """
    pixels, jump = 0, 1
    for module in modules:
        if isinstance(module, nn.Conv2d):
            pixels += int(module.padding[0]) * jump
        elif isinstance(module, nn.MaxPool2d):
            jump *= 2
    return -(-pixels // stride)


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
    """The class score map of one image of any size, equal to that of `class_score_map` up to rounding.

    Args:
        net: In eval mode, in the pooling mode that is wanted.
        pixels: (3, H, W), uint8, on any device.
        prepare: Makes the net's input of (B, 3, h, w) pixels.
        most_pixels: Of a tile without its halo.

    Returns:
        (1, num_classes, h, w).
    """
    features = tiled_features(net, pixels, prepare, most_pixels)
    strips = strips_of(features, int(net.pre_logits.input_kernel_size))
    return torch.cat([_class_scores(net, strip) for strip in strips], dim=2)


def strips_of(features: Tensor, kernel: int) -> Iterator[Tensor]:
    """The trunk's map in overlapping strips, so that the first FC layer sees each window once and not too many at once.

    Args:
        features: (B, C, h, w).
        kernel: Side of that layer's kernel in cells; a smaller map is one strip.
    """
    rows, columns = features.shape[2] - kernel + 1, features.shape[3] - kernel + 1
    if rows < 1 or columns < 1:
        yield features
        return
    strip = max(1, _MOST_WINDOWS // columns)
    for row in range(0, rows, strip):
        yield features[:, :, row : row + strip + kernel - 1]


def _class_scores(net: Any, features: Tensor) -> Tensor:
    hidden = net.pre_logits(features)
    return net.head.fc(hidden.movedim(1, -1)).movedim(-1, 1)


def tiled_features(net: Any, pixels: Tensor, prepare: Callable[[Tensor], Tensor], most_pixels: int) -> Tensor:
    """The trunk's map, (1, C, h, w), of one image of any size; arguments as of `tiled_class_score_map`."""
    rows: dict[int, list[Tensor]] = {}
    for top, tile in tiles(net.features.modules(), net.forward_features, pixels, prepare, most_pixels):
        rows.setdefault(top, []).append(tile.clone())
    return torch.cat([torch.cat(row, dim=3) for row in rows.values()], dim=2)


def tiles(
    modules: Iterable[nn.Module],
    run: Callable[[Tensor], Tensor],
    pixels: Tensor,
    prepare: Callable[[Tensor], Tensor],
    most_pixels: int,
) -> Iterator[tuple[int, Tensor]]:
    """The map of one image of any size in tiles that cover it, by rows; each with the row that it begins at.

    Args:
        modules: That `run` runs: convs and max-pools among them decide the map's stride and the tiles' halo.
        run: (1, 3, h, w) → their map.
        pixels: (3, H, W), uint8, on any device.
        prepare: Makes the input of `run` of (1, 3, h, w) pixels.
        most_pixels: Of a tile without its halo.
    """
    modules = list(modules)
    pools = [module for module in modules if isinstance(module, nn.MaxPool2d)]
    stride = 2 ** len(pools)
    height, width = (_cells(side, pools) for side in pixels.shape[1:])
    side, margin = max(1, int(most_pixels**0.5) // stride), reach(modules, stride)
    columns = _spans(width, side, margin, stride)
    for y in _spans(height, side, margin, stride):
        for x in columns:
            tile = run(prepare(pixels[None, :, y.pixels, x.pixels]))
            yield y.start, tile[:, :, y.cells, x.cells]


class _Span(NamedTuple):
    """One dimension of a tile: its first cell, its pixels with the halo, and its cells in what they give."""

    start: int
    pixels: slice
    cells: slice


def _spans(total: int, side: int, margin: int, stride: int) -> list[_Span]:
    starts = list(range(0, total, side))
    if len(starts) > 1 and (total - starts[-1]) * stride < STRIDE:  # so few pixels are no image to the net
        starts.pop()
    return [_span(start, end, total, margin, stride) for start, end in zip(starts, [*starts[1:], total], strict=True)]


def _span(start: int, end: int, total: int, margin: int, stride: int) -> _Span:
    before = min(start, margin)
    # The last pixels, fewer than a cell, belong to the image's border.
    last = None if end + margin >= total else (end + margin) * stride
    return _Span(start, slice((start - before) * stride, last), slice(before, before + end - start))


def _cells(side: int, pools: Iterable[nn.MaxPool2d]) -> int:
    for pool in pools:
        side = -(-side // 2) if pool.ceil_mode else side // 2
    return side


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
