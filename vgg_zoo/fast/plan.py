"""A table of the arithmetic of each layer of a `fast_inference` copy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vgg_zoo.fast.layers import FastConv
from vgg_zoo.layers import layers_of, trunk_modules
from vgg_zoo.model import prepare


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """A layer of a plan: its name in the paper, its map "C×h×w", arithmetic, billions of multiplications, the reason,
    and how many numbers of its weight it reads."""

    name: str
    map: str
    arithmetic: str
    multiplications: float
    reason: str
    weights: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of `FastVGG.plan`."""

    kernel: str
    layers: tuple[PlannedLayer, ...]

    def __str__(self) -> str:
        rows = [("layer", "map", "arithmetic", "10⁹ mult.", "reason")]
        rows += [(one.name, one.map, one.arithmetic, f"{one.multiplications:.2f}", one.reason) for one in self.layers]
        lines = [f"{row[0]:8} {row[1]:>13}  {row[2]:10} {row[3]:>9}  {row[4]}" for row in rows]
        return "\n".join([f"kernel: {self.kernel}", *lines])


def planned_layers(net: Any, height: int, width: int, batch: int) -> Iterator[PlannedLayer]:
    """The plan of a copy's convolutions and hidden FC layers for images of one size in pixels."""
    prepare(torch.empty(1, 1, height, width, device="meta"))
    convs = iter(layer.name for layer in layers_of(net).values() if layer.name.startswith("conv"))
    for module in trunk_modules(net):
        if isinstance(module, nn.MaxPool2d):
            height, width = (height + module.ceil_mode) // 2, (width + module.ceil_mode) // 2
        elif isinstance(module, FastConv):
            kind, reason = module.choice(height, width)
            places = 36 / 9 * -(-height // 4) * -(-width // 4) if kind == "winograd" else height * width
            read = module.weight if kind == "direct" or module.ordered is None else module.ordered
            yield _planned(next(convs), module, (height, width), (kind, reason), batch * places, read.numel())
    hidden: Any = net.pre_logits
    for name, layer in (("fc6", hidden.fc1), ("fc7", hidden.fc2)) if hasattr(hidden, "fc1") else ():
        side = layer.kernel_size[0]
        height, width = (max(length, side) - side + 1 for length in (height, width))
        kind, reason = layer.choice(height, width)
        places = 64 / 49 * -(-height // 2) * -(-width // 2) if kind == "winograd" else height * width
        yield _planned(name, layer, (height, width), (kind, reason), batch * places, layer.weight.numel())


def _planned(
    name: str, layer: Any, size: tuple[int, int], choice: tuple[str, str], places: float, weights: int
) -> PlannedLayer:
    """A layer that multiplies its weight, as it was, at so many places."""
    shape = f"{layer.out_channels}×{size[0]}×{size[1]}"
    return PlannedLayer(name, shape, choice[0], places * layer.weight.numel() / 1e9, choice[1], weights)
