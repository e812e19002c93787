"""Weights under the paper's layer names, as Oxford's Caffe, Keras' and MatConvNet's files have them."""

import math
from collections.abc import Mapping

from torch import Tensor

from ..configurations import FC_KEYS, TABLE_1, Configuration

Layers = Mapping[str, tuple[Tensor, Tensor]]
"""Name → weight and bias: "conv1_1" (O, I, k, k) of RGB; "fc6" (O, C·k·k) or (O, C, k, k); "fc7" and "fc8" (O, I)."""


def fitting_nets(layers: Layers) -> list[str]:
    """Names of the configurations that have just these convolutions, in Table 1's order; A-LRN's are A's."""
    kernels = {name: weight.shape[-1] for name, (weight, _) in layers.items() if name.startswith("conv")}
    return [
        name
        for name, net in TABLE_1.items()
        if {layer.name: layer.kernel for layer in net.layers() if layer.kind == "conv"} == kernels
    ]


def state_dict_of(layers: Layers, net: Configuration) -> dict[str, Tensor]:
    """The tensors under timm's keys, the FC weights as convolutions.

    Args:
        layers: With the convolutions of `net`, and all three FC layers or none.
        net: One of `fitting_nets`.

    Raises:
        ValueError: FC layers are missing, or fc6 takes no square of the trunk's channels.
    """
    keys = net.layer_keys()
    present = [name for name in FC_KEYS if name in layers]
    if present and len(present) < len(FC_KEYS):
        raise ValueError(f"of the FC layers only {', '.join(present)} are there; give all of fc6, fc7 and fc8, or none")
    names = [name for name in keys if name in layers]
    channels = layers[names[len(names) - len(present) - 1]][0].shape[0]
    found: dict[str, Tensor] = {}
    for name in names:
        weight, bias = layers[name]
        if name in FC_KEYS and name != "fc8":
            weight = _as_convolution(name, weight, channels)
            channels = weight.shape[0]
        elif name == "fc8":
            weight = weight.flatten(1)
        found |= {f"{keys[name]}.weight": weight, f"{keys[name]}.bias": bias.flatten()}
    return found


def _as_convolution(name: str, weight: Tensor, channels: int) -> Tensor:
    """(O, C·k·k) → (O, C, k, k): flattened as channels, then rows, then columns."""
    places, rest = divmod(weight[0].numel(), channels)
    side = math.isqrt(places)
    if rest or side**2 != places:
        raise ValueError(f"{name} has {weight[0].numel()} inputs, no k × k cells of the {channels} channels below it")
    return weight.reshape(weight.shape[0], channels, side, side)
