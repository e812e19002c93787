"""State dicts in timm's or torchvision's layout: `.safetensors`, and PyTorch's `.pth` and `.pt` without running
code."""

import pickle
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import clean_state_dict
from torch import Tensor, nn

from vgg_zoo.configurations import FC_KEYS
from vgg_zoo.weights.fit import fitting_configurations

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts store a state dict in a checkpoint, in timm's order."""

FC_REDUCED = {"fc6": "fc_reduced.fc6", "fc7": "fc_reduced.fc7"}
"""Keys of DeepLab's and SSD's FC layers, which are dilated convolutions and not in the paper's nets."""

_SSD = {"31": FC_REDUCED["fc6"], "33": FC_REDUCED["fc7"]}
"""Indices of these layers in SSD's list, where no trunk of Table 1 has a convolution."""

_PLACE = re.compile(
    r"(?P<root>(?P<prefix>((module|model|backbone|net|vgg|encoder)\.)*)(features\.(module\.)?)?)\d+\.\w+"
)
"""A layer of `features` within the modules that programs wrap around a VGG; some keep only `features`, unnamed."""

_MOST_ROOTS = 16
"""Limits that no program comes near; each search goes over all keys."""

_OLD_CLASSIFIER = {"classifier.1": "classifier.0", "classifier.4": "classifier.3"}
"""Layers of classifiers that begin with a dropout: torchvision's first files, vgg16-00b39a1b.pth and
vgg19-d01eb7cb.pth."""


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file.

    Returns:
        The state dict in float32, in timm's or torchvision's layout if it has the convolutions of a net.

    Raises:
        ValueError: The file is not whole, or has the convolutions of several nets.
    """
    try:
        return _floats(file, load_file(file))
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file ({error}). Download it again.") from error


def read_pickled(file: Path, zipped: bool) -> tuple[dict[str, Tensor], dict[str, tuple[float, ...]]]:
    """Read a file of `torch.save`: a state dict, or a checkpoint that contains one; only tensors and plain data.

    Args:
        file: A file of any version of PyTorch.
        zipped: Whether it is a zip file, as since version 1.6, which is mapped instead of read at once.

    Returns:
        The state dict, as from `read_safetensors`, and the "mean" and "deviation" (0–255) of the training, if it is a
        checkpoint of timm's train.py.

    Raises:
        ValueError: The file is not whole, has Python objects (which are never run), no state dict, or several nets.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):  # timm's options: only attributes, no code
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{file} is not a plain PyTorch state dict, or is damaged ({reason}). Save only `model.state_dict()`; "
            "vgg_zoo never runs Python objects of a file."
        ) from error
    return _floats(file, _unwrapped(file, found)), _training_input(found)


def _unwrapped(file: Path, found: Any) -> Mapping[str, Tensor]:
    if isinstance(found, Mapping):
        found = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), found)
        if found and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
            return dict(found)
    raise ValueError(
        f"{file} has no state dict: neither names with tensors, nor these under one of {', '.join(_WRAPPERS)}"
    )


def _training_input(found: Any) -> dict[str, tuple[float, ...]]:
    """The options --mean and --std of timm's train.py, if they were set; in timm they are in 0–1."""
    args = found.get("args") if isinstance(found, Mapping) else None
    told = {}
    for name, option in (("mean", "mean"), ("deviation", "std")):
        values = getattr(args, option, None) if isinstance(args, Namespace) else None
        if isinstance(values, list | tuple) and values and all(isinstance(value, int | float) for value in values):
            told[name] = tuple(255.0 * value for value in values)
    return told


def _floats(file: Path, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in float32, under the names of a net without wrappers."""
    bare = _without_prefix(file, clean_state_dict(dict(state_dict)))
    layers = {key.rpartition(".")[0] for key in bare}
    old = _OLD_CLASSIFIER if {*_OLD_CLASSIFIER, "classifier.6"} <= layers and "classifier.0" not in layers else {}
    floats = {}
    for key, value in bare.items():
        layer, _, kind = key.rpartition(".")
        floats[f"{old[layer]}.{kind}" if layer in old else key] = value.float() if value.is_floating_point() else value
    return floats


def _without_prefix(file: Path, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys without the prefix of the convolutions of a net of Table 1; unchanged if there is no such net.

    Raises:
        ValueError: There are several such nets.
    """
    roots = {match["root"]: match["prefix"] for key in state_dict if (match := _PLACE.fullmatch(key))}
    fitting = {}
    for root, prefix in [*roots.items()][:_MOST_ROOTS]:
        renamed = {_bare(key, root, prefix): value for key, value in state_dict.items()}
        if len(renamed) == len(state_dict) and fitting_configurations(renamed):
            fitting[root] = renamed
    if len(fitting) > 1:
        names = ", ".join(map(repr, fitting))
        raise ValueError(f"{file} has the convolutions of {len(fitting)} nets, under {names}; save only one of them")
    return next(iter(fitting.values()), state_dict)


def _bare(key: str, root: str, prefix: str) -> str:
    place, _, kind = key.removeprefix(root).partition(".")
    if not key.startswith(root) or not place.isdecimal():
        return key.removeprefix(prefix)
    layer = f"features.{place}"
    return f"{layer if 'features.' in root else _SSD.get(place, layer)}.{kind}"


CLASSIFIER = dict(zip(("classifier.0", "classifier.3", "classifier.6"), FC_KEYS.values(), strict=True))


def is_torchvision(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the keys are torchvision's, not timm's."""
    return any(key.startswith("classifier.") for key in state_dict)


def from_torchvision(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename torchvision's keys to timm's, and reshape its FC weights to the model's convolutions; values do not
    change.

    A weight that cannot take the model's shape is passed on unchanged; `check_fit` then names it.
    """
    own = model.state_dict()
    renamed = {}
    for key, value in state_dict.items():
        prefix, _, kind = key.rpartition(".")
        key = f"{CLASSIFIER.get(prefix, prefix)}.{kind}"
        if key in own and value.numel() == own[key].numel() and value.shape[:1] == own[key].shape[:1]:
            value = value.reshape(own[key].shape)  # (4096, 512·7·7) → (4096, 512, 7, 7): both flatten C, then H, then W
        renamed[key] = value
    return renamed
