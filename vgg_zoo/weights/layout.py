"""From layers under Oxford's names to timm's layout, and from the shapes of a state dict to its net."""

from collections.abc import Mapping
from math import ceil, isqrt
from pathlib import Path
from typing import Any

from torch import Tensor

from vgg_zoo.configurations import FC_KEYS, TABLE_1, Configuration
from vgg_zoo.weights.fit import fitting_configurations
from vgg_zoo.weights.state_dict import CLASSIFIER, FC_REDUCED

FIRST_CONV, FIRST_FC = "conv1_1", "fc6"
_TORCHVISIONS = {ours: theirs for theirs, ours in CLASSIFIER.items()}


def to_timm(layers: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Name and shape a net's layers as in timm; any other layer keeps its name, so that `check_fit` refuses it.

    Args:
        layers: Oxford's name and "weight" or "bias" ("conv1_1.weight") → convs (out, in, k, k); FC layers
            (out, in, k, k) or (out, in · k · k), in the order C, H, W; biases of any shape.
        file: Their source, for messages.

    Raises:
        ValueError: The first FC layer does not take a square map of the trunk's channels, or two layers have one key.
    """
    names = {key.rpartition(".")[0] for key in layers}
    keys = min((net.layer_keys() for net in TABLE_1.values()), key=lambda known: len(names ^ known.keys()))
    if _is_fc_reduced(layers.get(f"{FIRST_FC}.weight")):
        keys |= FC_REDUCED
    shaped = {}
    for key, value in layers.items():
        name, _, kind = key.rpartition(".")
        if kind == "bias":
            value = value.flatten()
        elif name in FC_KEYS:
            value = _shaped_fc(name, value, layers, file)
        key = f"{keys.get(name, name)}.{kind}"
        if key in shaped:
            raise ValueError(f"{file} has two arrays {key}")
        shaped[key] = value
    return shaped


def net_of(state_dict: Mapping[str, Tensor]) -> str:
    """Name of the configuration that has these convolutions, or of the one with the most keys in common.

    A-LRN has the same weights as A, so a state dict cannot distinguish them; the function returns "A".
    """
    if fitting := fitting_configurations(state_dict):
        return fitting[0]
    given = {key.rpartition(".")[0] for key in state_dict}
    return min(TABLE_1, key=lambda name: len(given ^ set(TABLE_1[name].layer_keys().values())))


def arguments_of(state_dict: Mapping[str, Tensor], net: Configuration) -> dict[str, Any]:
    """The arguments of `VGG` for a configuration with the sizes of these weights; the paper's sizes by default.

    Args:
        state_dict: A state dict in timm's or torchvision's layout. Without a last FC layer, `num_classes` is 0.
        net: Its configuration.
    """
    keys = net.layer_keys()
    widths = [
        (layer.channels, _size(state_dict, f"{keys[layer.name]}.weight", 0))
        for layer in net.layers()
        if layer.kind == "conv" and f"{keys[layer.name]}.weight" in state_dict
    ]
    found: dict[str, Any] = {
        "width_multiplier": _multiplier(widths),
        "in_chans": _size(state_dict, f"{keys[FIRST_CONV]}.weight", 1, unknown=3),
        "num_classes": _size(state_dict, _fc_weight(state_dict, "fc8"), 0, unknown=0),
    }
    first = _fc_weight(state_dict, FIRST_FC)
    if first in state_dict and widths:
        hidden = _size(state_dict, first, 0)
        found["head_hidden_size"] = hidden
        found["head_kernel_size"] = max(1, isqrt(state_dict[first].numel() // (hidden * widths[-1][1])))
    papers = {"width_multiplier": 1.0, "in_chans": 3, "head_hidden_size": 4096, "head_kernel_size": 7}
    return {key: value for key, value in found.items() if papers.get(key) != value}


def is_trunk(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether there is none of the paper's FC layers: a file "without top", or with its own head."""
    return not any(key.rpartition(".")[0] in (*FC_KEYS.values(), *CLASSIFIER) for key in state_dict)


def own_layers(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """Layers that no net of Table 1 has, and the shapes of their weights in words: {"dense": "25088×256"}."""
    known, found = (*FC_KEYS.values(), *CLASSIFIER), dict[str, str]()
    for key, value in state_dict.items():
        name = key.rpartition(".")[0] or key
        if name not in known and not key.startswith("features."):
            found.setdefault(name, "×".join(map(str, value.shape)))
    return found


def first_fc_input(inputs: int, layers: Mapping[str, Tensor], file: Path) -> tuple[int, int]:
    """Channels and side of the map that the first FC layer flattens: (512, 7) for the paper's nets.

    Args:
        inputs: Inputs of the layer: channels · side².
        layers: Layers as for `to_timm`.
        file: Their source, for messages.

    Raises:
        ValueError: No square map of the last convolution's channels has this size.
    """
    convs = [key for key in layers if key.startswith("conv") and key.endswith(".weight")]
    channels = _size(layers, max(convs), 0) if convs else max(1, inputs)
    side = isqrt(inputs // channels)
    if side < 1 or side**2 * channels != inputs:
        raise ValueError(
            f"{file}: {FIRST_FC} takes {inputs} inputs: no square map of the last convolution's {channels} channels"
        )
    return channels, side


def _is_fc_reduced(fc6: Tensor | None) -> bool:
    return fc6 is not None and fc6.ndim == 4 and fc6.shape[0] == 1024 and fc6.shape[2:] == (3, 3)


def _shaped_fc(name: str, value: Tensor, layers: Mapping[str, Tensor], file: Path) -> Tensor:
    if name == "fc8":
        return value.flatten(1) if value.ndim > 1 else value
    if value.ndim != 2:
        return value
    channels, side = first_fc_input(value.shape[1], layers, file) if name == FIRST_FC else (value.shape[1], 1)
    return value.reshape(value.shape[0], channels, side, side)


def _fc_weight(state_dict: Mapping[str, Tensor], name: str) -> str:
    ours, theirs = f"{FC_KEYS[name]}.weight", f"{_TORCHVISIONS[FC_KEYS[name]]}.weight"
    return theirs if theirs in state_dict else ours


def _size(tensors: Mapping[str, Tensor], key: str, dimension: int, unknown: int = 1) -> int:
    """A tensor's size in one dimension, at least 1, so that a missing tensor or dimension gives no division by 0."""
    if key not in tensors:
        return unknown
    return max(1, tensors[key].shape[dimension]) if tensors[key].ndim > dimension else 1


def _multiplier(widths: list[tuple[int, int]]) -> float:
    """The number with the fewest decimals that scales the paper's channels to these, rounded as in `VGG`."""
    if not widths:
        return 1.0
    low = max((width - 0.5) / channels for channels, width in widths)
    for decimals in range(7):
        candidate = ceil(low * 10**decimals) / 10**decimals
        if all(max(1, round(channels * candidate)) == width for channels, width in widths):
            return candidate
    return widths[-1][1] / widths[-1][0]
