"""State dicts in timm's or torchvision's layout: `.safetensors`, and PyTorch's `.pth` and `.pt`, no code unpickled."""

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
"""Where training scripts put a state dict within a checkpoint, in the order in which timm looks."""

FC_REDUCED = {"fc6": "fc_reduced.fc6", "fc7": "fc_reduced.fc7"}
"""Keys of DeepLab's and SSD's FC layers, which are dilated convolutions and no layers of the paper's nets."""

_SSD = {"31": FC_REDUCED["fc6"], "33": FC_REDUCED["fc7"]}
"""Places of these in SSD's list of layers, where no trunk of Table 1 has a convolution."""

_PLACE = re.compile(
    r"(?P<root>(?P<prefix>((module|model|backbone|net|vgg|encoder)\.)*)(features\.(module\.)?)?)\d+\.\w+"
)
"""A layer of `features` within the modules that programs put a VGG in; some keep `features` alone, without its name."""

_MOST_ROOTS = 16
"""What no program comes near; each takes a look at all keys."""

_OLD_CLASSIFIER = {"classifier.1": "classifier.0", "classifier.4": "classifier.3"}
"""Of classifiers that begin with a dropout: torchvision's first ones, vgg16-00b39a1b.pth and vgg19-d01eb7cb.pth."""


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file.

    Returns:
        The state dict in float32, in timm's or torchvision's layout if it has the convolutions of a net.

    Raises:
        ValueError: Not a whole file, or one with the convolutions of several nets.
    """
    try:
        return _floats(file, load_file(file))
    except SafetensorError as error:
        raise ValueError(f"{file} is no whole safetensors file ({error}). Fetch it again.") from error


def read_pickled(file: Path, zipped: bool) -> tuple[dict[str, Tensor], dict[str, tuple[float, ...]]]:
    """Read what `torch.save` wrote: a state dict, or a checkpoint with one in it; only tensors and plain data.

    Args:
        file: Of any version of PyTorch.
        zipped: Since version 1.6 it is a zip file, which is mapped and not read at once.

    Returns:
        The state dict as `read_safetensors` has it, and the "mean" and "deviation" (0–255) that a checkpoint of timm's
        train.py says it was trained with.

    Raises:
        ValueError: Not a whole file, one with Python objects (which are never run), no state dict, or several nets.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):  # timm's options: attributes, and nothing that runs
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{file} is no plain state dict of PyTorch's, or damaged ({reason}). Where it comes from, save only "
            "`model.state_dict()`; Python objects in it are never run here."
        ) from error
    return _floats(file, _unwrapped(file, found)), _training_input(found)


def _unwrapped(file: Path, found: Any) -> Mapping[str, Tensor]:
    if isinstance(found, Mapping):
        found = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), found)
        if found and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
            return dict(found)
    raise ValueError(
        f"{file} holds no state dict: neither names with their tensors, nor these under one of {', '.join(_WRAPPERS)}"
    )


def _training_input(found: Any) -> dict[str, tuple[float, ...]]:
    """The options --mean and --std of timm's train.py, if they were set; timm has them in 0–1."""
    args = found.get("args") if isinstance(found, Mapping) else None
    told = {}
    for name, option in (("mean", "mean"), ("deviation", "std")):
        values = getattr(args, option, None) if isinstance(args, Namespace) else None
        if isinstance(values, list | tuple) and values and all(isinstance(value, int | float) for value in values):
            told[name] = tuple(255.0 * value for value in values)
    return told


def _floats(file: Path, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In float32, under the names of a bare net."""
    bare = _without_prefix(file, clean_state_dict(dict(state_dict)))
    layers = {key.rpartition(".")[0] for key in bare}
    old = _OLD_CLASSIFIER if {*_OLD_CLASSIFIER, "classifier.6"} <= layers and "classifier.0" not in layers else {}
    floats = {}
    for key, value in bare.items():
        layer, _, kind = key.rpartition(".")
        floats[f"{old[layer]}.{kind}" if layer in old else key] = value.float() if value.is_floating_point() else value
    return floats


def _without_prefix(file: Path, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys without the prefix under which the convolutions of a net of Table 1 stand; as they are if there is none.

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
        raise ValueError(f"{file} has the convolutions of {len(fitting)} nets, under {names}; save one of them alone")
    return next(iter(fitting.values()), state_dict)


def _bare(key: str, root: str, prefix: str) -> str:
    place, _, kind = key.removeprefix(root).partition(".")
    if not key.startswith(root) or not place.isdecimal():
        return key.removeprefix(prefix)
    layer = f"features.{place}"
    return f"{layer if 'features.' in root else _SSD.get(place, layer)}.{kind}"


CLASSIFIER = dict(zip(("classifier.0", "classifier.3", "classifier.6"), FC_KEYS.values(), strict=True))


def is_torchvision(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the keys are torchvision's rather than timm's."""
    return any(key.startswith("classifier.") for key in state_dict)


def from_torchvision(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename torchvision's keys to timm's, and shape its FC weights as the model's convolutions; values are unchanged.

    A weight that cannot take the model's shape is passed on as it is, for `check_fit` to name.
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
