"""A net applied densely (Sect. 3.2) to an image of any size in bounded memory: trunk by tiles, FC layers by strips.

A cell of the trunk's map sees a bounded part of the image (`vgg_zoo.receptive`). So a tile of the map is exact if it is
computed from all pixels that its cells see. The convs pad only at the image's border, as for the whole image.

The module supports the nets of the zoo and timm's own `vgg*`, which have the same parts.
"""

import ctypes
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vgg_zoo.configurations import STRIDE
from vgg_zoo.devices import arithmetic_of, default_most_pixels
from vgg_zoo.fast.copies import arithmetic, check_can_be, net_for, own_arithmetic
from vgg_zoo.images.inputs import Rescaled, as_scales, batches_of_one_shape, in_parts, net_input
from vgg_zoo.inference import inference_view
from vgg_zoo.receptive import cells_of, field_of

_MOST_WINDOWS = 1024  # windows of the first FC layer at once: 100 MB at full width
_BYTES_A_PIXEL = 32  # of waiting rescaled images, for each pixel that the net takes at once: 2**25 on a CPU

# PyTorch and oneDNN each keep the last 1,024 convolutions that they compiled, one for each shape of map, of up to 1.4
# MB each. Photos of different shapes would fill 0.7 GB with convolutions that no later photo needs. 48 are enough for
# net E at three scales. Both variables are read when the process computes its first convolution.
for _cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "48")


def class_score_map(net: Any, images: Tensor) -> Tensor:
    """The class score map of images that fit into memory.

    Args:
        net: In eval mode.
        images: (B, 3, H, W), as the net takes them.

    Returns:
        (B, num_classes, h, w); h = ⌊H/32⌋ − 6 for the paper's nets, at least 1.
    """
    return _class_scores(net, net.forward_features(images))


def tiled_class_score_map(net: Any, pixels: Tensor, prepare: Callable[[Tensor], Tensor], most_pixels: int) -> Tensor:
    """The class score map of one image of any size; equal to `class_score_map` up to rounding.

    Args:
        net: A view (`vgg_zoo.inference`) in the desired pooling mode.
        pixels: (3, H, W), uint8, on any device.
        prepare: Makes the net's input of (B, 3, h, w) pixels.
        most_pixels: Pixels of a tile without its halo.

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
        kernel: Side of the first FC layer's kernel in cells; a smaller map is one strip.
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
    """The trunk's map, (1, C, h, w), of one image of any size; arguments as in `tiled_class_score_map`."""
    rows: dict[int, list[Tensor]] = {}
    for top, tile in tiles([net.features], net.forward_features, pixels, prepare, most_pixels):
        rows.setdefault(top, []).append(tile.clone())
    return torch.cat([torch.cat(row, dim=3) for row in rows.values()], dim=2)


def tiles(
    modules: Sequence[nn.Module],
    run: Callable[[Tensor], Tensor],
    pixels: Tensor,
    prepare: Callable[[Tensor], Tensor],
    most_pixels: int,
) -> Iterator[tuple[int, Tensor]]:
    """The map of one image of any size in tiles that cover it, row by row; each comes with its first row.

    Args:
        modules: The modules that `run` runs; their convs and pools determine which pixels a tile needs.
        run: (1, 3, h, w) → their map.
        pixels: (3, H, W), uint8, on any device.
        prepare: Makes the input of `run` of (1, 3, h, w) pixels.
        most_pixels: Pixels of a tile, without those that its border sees outside it.

    Raises:
        ValueError: The map's size does not follow from its modules.
    """
    rows, columns = (_spans(modules, pixels.shape[1 + dimension], dimension, most_pixels) for dimension in (0, 1))
    for y in rows:
        for x in columns:
            tile = run(prepare(pixels[None, :, y.pixels, x.pixels]))[:, :, y.cells, x.cells]
            if tile.shape[2:] != (y.length, x.length):
                raise ValueError(
                    f"the net's trunk gives {tuple(tile.shape[2:])} cells, but its convs and pools give "
                    f"{y.length, x.length}: it cannot be applied by tiles; give most_pixels above {pixels[0].numel()}"
                )
            yield y.start, tile


class _Span(NamedTuple):
    """One dimension of a tile: first cell, number of cells, their pixels, and their position in the computed map."""

    start: int
    length: int
    pixels: slice
    cells: slice


def _spans(modules: Sequence[nn.Module], length: int, dimension: int, most_pixels: int) -> list[_Span]:
    total, (stride, before, size) = cells_of(modules, length, dimension), field_of(modules, dimension)
    first, last = -(-before // stride), max(0, -(-(size - before - stride) // stride))  # cells that see beyond a tile
    starts = list(range(0, total, max(1, int(most_pixels**0.5) // stride)))
    if len(starts) > 1 and (total - starts[-1]) * stride < STRIDE:  # fewer pixels than the net accepts
        starts.pop()
    spans = []
    for start, end in zip(starts, [*starts[1:], total], strict=True):
        halo = min(start, first)
        # The last pixels, which do not fill a cell, belong to the image's border.
        stop = None if end + last >= total else (end + last) * stride
        pixels, cells = slice((start - halo) * stride, stop), slice(halo, halo + end - start)
        spans.append(_Span(start, end - start, pixels, cells))
    return spans


def dense_input(net: nn.Module, pixels: Tensor) -> Tensor:
    """`net_input`, but in NHWC for low-precision arithmetic: tensor cores take no other layout.

    The layout of the input determines that of all convolutions. The weights are copied in each call, because their
    owner keeps them unchanged; this costs little compared with a batch.
    """
    images = net_input(net, pixels)
    return images if arithmetic_of(images) == "exact" else images.contiguous(memory_format=torch.channels_last)


def even_parts(pixels: Tensor, most_pixels: int) -> Sequence[Tensor]:
    """Split a batch (B, 3, H, W) into few parts of similar size, each with at most `most_pixels`, or one image."""
    most = max(1, most_pixels // (pixels.shape[2] * pixels.shape[3]))
    return pixels.chunk(max(1, -(-len(pixels) // most)))


def score_maps(
    net: nn.Module,
    pixels: Tensor,
    ceil_mode: bool,
    most_pixels: int,
    exact: bool = False,
    precision: str | None = None,
) -> Tensor:
    """The map of the net's outputs for images of one shape.

    Args:
        net: A net of the zoo or timm's own `vgg*`, in any mode, which does not change; dropout is off.
        pixels: (B, 3, H, W), uint8, RGB in 0–255, at the test scale, on any device.
        ceil_mode: Pools round their size up, as in Caffe.
        most_pixels: Pixels that go through the net at once.
        exact: Run the net itself, even where its fast copy (`vgg_zoo.fast_inference`) would be used on a CPU.
        precision: As in `DenseEvaluator`.

    Returns:
        (B, outputs, h, w), at least float32; h = ⌊H/32⌋ − 6 for the paper's nets.
    """
    prepare, runs = partial(dense_input, net), inference_view(net_for(net, exact, precision), ceil_mode)
    with own_arithmetic(net, precision):
        if pixels.shape[2] * pixels.shape[3] > most_pixels:
            maps = [tiled_class_score_map(runs, image, prepare, most_pixels) for image in pixels]
        else:
            maps = [class_score_map(runs, prepare(part)) for part in even_parts(pixels, most_pixels)]
    scores = torch.cat(maps)
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores  # soft-max needs more bits


@cache
def _trim_of_glibc() -> Callable[[int], int] | None:
    return ctypes.CDLL(None).malloc_trim if platform.libc_ver()[0] == "glibc" else None


def _trim() -> None:
    """Return freed memory to the system: glibc would keep it in pieces that fit only images of one shape."""
    if (trim := _trim_of_glibc()) is not None:
        trim(0)


def in_turn(
    of_rescaled: Callable[[Sequence[Rescaled | None]], Tensor], images: Iterable[Rescaled | None], device: torch.device
) -> Iterator[Tensor]:
    """Apply a function to any number of images, drawn one by one and processed in groups; no image is kept.

    Args:
        of_rescaled: A function from n images at their scales, with None for one that cannot be decoded, to (n, ...).
        images: Images at their scales.
        device: The net's device, which determines the size of a group.
    """
    for part in in_parts(images, _BYTES_A_PIXEL * default_most_pixels(device)):
        yield of_rescaled(part)
        _trim()


def of_each(
    of_rescaled: Callable[[Sequence[Rescaled | None]], Tensor],
    images: Iterable[Rescaled | None],
    device: torch.device,
    bar: Any = None,
) -> Tensor:
    """The results of `in_turn` for all images together, (N, ...).

    Args:
        of_rescaled, images, device: As in `in_turn`.
        bar: A bar of `vgg_zoo.images.each.progress`; it advances after images have gone through the net.

    Raises:
        ValueError: There are no images.
    """
    found = []
    for rows in in_turn(of_rescaled, images, device):
        found.append(rows)
        if bar is not None:
            bar.update(len(rows))
    if not found:
        raise ValueError("no images; give at least one PIL image, path or array")
    return torch.cat(found)


class DenseNet(ABC):
    """A net that is applied to whole images at several scales (Sect. 3.2). A subclass defines the result.

    Attributes:
        model: The net, in its owner's mode.
        named: Name of the net and its weights for `repr`.
        scales: Q, smallest sides in pixels.
        flip: Average with the mirrored image.
        ceil_mode: Pools round their size up.
        most_pixels: Pixels that go through the net at once: the given number, or the default for the net's device
            (`vgg_zoo.devices.default_most_pixels`).
        exact: Run the net itself, not its fast copy.
        precision: "fp32", "bf16", or None: the precision of the net and autocast.
        settings_from: Source of the settings that were not given: a file, or the paper.
    """

    def __init__(
        self,
        model: Any,
        named: str,
        chosen: Mapping[str, Any],
        settings_from: str,
        side: int,
        what: str,
        most_pixels: int | None,
        exact: bool,
        precision: str | None,
    ) -> None:
        check_can_be(model, exact, precision)
        scales = as_scales(chosen["scales"])
        if not scales or min(scales) < side:
            raise ValueError(f"scales must be smallest sides of at least {side} pixels{what}; got {scales}")
        if most_pixels is not None and most_pixels < side**2:
            raise ValueError(f"most_pixels must be at least {side}², the smallest image; got {most_pixels}")
        self.model, self.named, self.scales, self.flip = model, named, scales, bool(chosen["flip"])
        self.ceil_mode, self.exact, self.precision = bool(chosen["ceil_mode"]), bool(exact), precision
        self.settings_from = settings_from
        self._side, self._most_pixels = side, None if most_pixels is None else int(most_pixels)

    @property
    def device(self) -> torch.device:
        """The net's current device."""
        return next(self.model.parameters()).device

    @property
    def most_pixels(self) -> int:
        """Pixels that go through the net at once."""
        if self._most_pixels is not None:
            return self._most_pixels
        return max(self._side**2, default_most_pixels(self.device))

    @property
    def arithmetic(self) -> str:
        """How the net is computed at present.

        "winograd" or "bf16" by `fast_inference`'s copy; by the net itself "tf32" (float32 on CUDA where PyTorch allows
        it), "bf16" or "fp16" (its weights, or autocast), or "exact": IEEE float32 or float64.
        """
        return arithmetic(self.model, self.exact, self.precision)

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything but the net, as plain data."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        how = f"arithmetic={self.arithmetic!r}, device={str(self.device)!r}; settings from {self.settings_from}"
        return f"{type(self).__name__}({self.named}, {settings}, {how})"

    @abstractmethod
    def of_rescaled(self, images: Sequence[Rescaled | None]) -> Tensor:
        """(N, numbers) for images at every scale; None gives a row of NaN."""

    def batches(self, images: Sequence[Rescaled | None]) -> Iterator[tuple[int, Tensor, list[int]]]:
        """Yield the index of a scale, a batch of one shape on the net's device, and the indices of its images.

        Nothing here waits for a GPU: the outputs of all batches stay there until they are fetched at once.
        """
        for place in range(len(self.scales)):
            of_scale = [None if image is None else image[place] for image in images]
            for batch, places in batches_of_one_shape(of_scale, self.most_pixels, self.device):
                yield place, batch, places

    def both_ways(self, apply: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
        """Apply a function to images, averaged over them and their mirror images if the settings say so.

        Args:
            apply: A function from (b, 3, H, W) pixels to a row for each image. It splits more than `most_pixels`.
            pixels: (B, 3, H, W).
        """
        if not self.flip:
            return apply(pixels)
        views = [pixels, pixels.flip(-1)]
        if pixels.is_cpu:  # a CPU's caches hold the maps of fewer images
            plain, mirrored = map(apply, views)
        else:
            plain, mirrored = apply(torch.cat(views)).chunk(2)
        return (plain + mirrored) / 2
