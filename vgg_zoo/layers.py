"""The maps of a net's layers by the paper's names, "conv1_1" to "pool5", "fc6", "fc7"; later layers are not computed.

The module supports the nets of the zoo and timm's own `vgg*`, also with batch normalisation, which belongs to its conv.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm.models
from torch import Tensor, nn

from vgg_zoo.inference import POOLS
from vgg_zoo.model import LEAST_SIDE, HiddenLayers, at_least, check_channels, outputs_of, over_map, prepare
from vgg_zoo.receptive import check_is_local, is_activation, smallest_with


@dataclass(frozen=True, slots=True)
class NetLayer:
    """The position of a layer's map in the net.

    Attributes:
        name: The paper's name.
        channels: Channels of the map.
        before: Number of steps of the net up to the map before the ReLU.
        after: Number of steps up to the map after the ReLU; the same if there is none.
        fully_connected: Whether it is fc6 or fc7, which see the trunk's map in windows.
    """

    name: str
    channels: int
    before: int
    after: int
    fully_connected: bool = False


Step = Callable[[Tensor], Tensor]


def trunk_modules(net: Any) -> list[nn.Module]:
    """The modules of the trunk in order; A-LRN's ReLU and LRN, which share an index of `features`, are separate."""
    return [
        module
        for child in net.features.children()
        for module in (child.children() if isinstance(child, nn.Sequential) else [child])
    ]


def layers_of(net: Any) -> dict[str, NetLayer]:
    """The layers of a net by name, in order: convs, LRN and pools of the trunk, and fc6 and fc7 if it has them."""
    found: list[NetLayer] = []
    stage, conv, channels = 1, 0, 0
    modules = trunk_modules(net)
    for place, module in enumerate(modules, start=1):
        if isinstance(module, nn.Conv2d):
            conv, channels = conv + 1, module.out_channels
            found.append(NetLayer(f"conv{stage}_{conv}", channels, *_around_activation(modules, place)))
        elif isinstance(module, nn.LocalResponseNorm):
            found.append(NetLayer(f"lrn{stage}", channels, place, place))
        elif isinstance(module, POOLS):
            found.append(NetLayer(f"pool{stage}", channels, place, place))
            stage, conv = stage + 1, 0
    hidden, stretched = net.pre_logits, len(modules) + 1
    if hasattr(hidden, "fc1"):  # timm's feature extractors remove them
        found.append(NetLayer("fc6", hidden.fc1.out_channels, stretched + 1, stretched + 2, fully_connected=True))
        found.append(NetLayer("fc7", hidden.fc2.out_channels, stretched + 4, stretched + 5, fully_connected=True))
    return {layer.name: layer for layer in found}


def _around_activation(modules: Sequence[nn.Module], place: int) -> tuple[int, int]:
    """Number of modules up to a conv's map before and after its activation; batch norm belongs to the conv."""
    while place < len(modules) and isinstance(modules[place], nn.BatchNorm2d | nn.Identity):
        place += 1
    return place, place + (place < len(modules) and is_activation(modules[place]))


def layer_of(net: Any, name: str) -> NetLayer:
    """One layer of a net.

    Raises:
        ValueError: The net has no such layer; the message lists its layers.
    """
    layers = layers_of(net)
    if name not in layers:
        raise ValueError(f"the net has no layer {name!r}; it has {', '.join(layers)}")
    return layers[name]


def steps_of(net: Any) -> Sequence[Step]:
    """The net as functions to apply one after the other: the trunk, the stretching, the hidden FC layers."""
    hidden = net.pre_logits
    if not hasattr(hidden, "fc1"):
        return trunk_modules(net)
    stretch = partial(at_least, side=int(hidden.input_kernel_size))
    fc1, fc2 = hidden.fc1, hidden.fc2
    if isinstance(hidden, HiddenLayers):
        fc1, fc2 = partial(over_map, fc1), partial(over_map, fc2)
    return [*trunk_modules(net), stretch, fc1, hidden.act1, hidden.drop, fc2, hidden.act2]


def run(net: Any, steps: Sequence[Step], x: Tensor) -> Tensor:
    """Run some of a net's steps one after the other; a copy by `fast_inference` fuses some of them."""
    if hasattr(net, "run_steps"):
        return net.run_steps(steps, x)
    for step in steps:
        x = step(x)
    return x


def layer_maps(net: Any, images: Tensor, layers: Sequence[NetLayer], relu: bool = True) -> dict[str, Tensor]:
    """The maps of some layers from one pass that ends with the last of these layers.

    Args:
        net: A net in eval mode.
        images: (B, 3, H, W), as the net takes them.
        layers: Layers of `layers_of(net)`.
        relu: Take the maps after each layer's ReLU, not before it.

    Returns:
        For each layer, in order, (B, C, h, w).

    Raises:
        ValueError: H or W under 32 pixels.
    """
    wanted = {layer.after if relu else layer.before: layer.name for layer in layers}
    maps: dict[str, Tensor] = {}
    x, steps, before = prepare(images), steps_of(net), 0
    for place in sorted(wanted):
        x, before = run(net, steps[before:place], x), place
        # The ReLUs work in place, so a map before a ReLU must be copied first.
        maps[wanted[place]] = x if relu or place == max(wanted) else x.clone()
    return {layer.name: maps[layer.name] for layer in layers}


def hidden_map(net: Any, features: Tensor, layer: NetLayer) -> Tensor:
    """The map of fc6 or fc7, (B, channels, h, w), from the trunk's map (B, C, h', w') or a strip of it."""
    return run(net, steps_of(net)[len(trunk_modules(net)) : layer.after], features)


def check_is_vgg(net: nn.Module, classifies: bool = True) -> None:
    """Refuse a module without a trunk and FC layers that can be applied densely.

    Args:
        net: Any module.
        classifies: Require the last layer too; image descriptors (Appendix B) leave it out.

    Raises:
        ValueError: It is neither a net of the zoo nor one of timm's VGGs, or its last layer predicts boxes.
    """
    if classifies and getattr(net, "predicts", "classes") == "boxes":
        raise ValueError(
            "a BoxVGG predicts boxes and no classes: vgg_zoo.Localiser and recipes/localise.py apply it, beside a net "
            "that classifies"
        )
    if not isinstance(net, timm.models.VGG) or (classifies and outputs_of(net) == 0):
        raise ValueError(
            f"a {type(net).__name__} cannot be applied densely: it takes a net of the zoo (vgg_a, ..., vgg_e) or "
            "one of timm's own (vgg11, ..., vgg19)" + classifies * " with its last layer (num_classes above 0)"
        )
    check_channels(net)
    check_is_local(net.features)


def smallest_side(net: Any, layer: NetLayer | None = None) -> int:
    """Side in pixels of the smallest image that is not stretched.

    Args:
        net: A VGG.
        layer: The layer of the map; None means the class scores.

    Returns:
        224 for the paper's nets, 32 for layers of the trunk.
    """
    if layer is not None and not layer.fully_connected:
        return LEAST_SIDE
    return max(LEAST_SIDE, smallest_with([net.features], int(net.pre_logits.input_kernel_size)))
