"""State dicts in timm's or torchvision's layout: `.safetensors`, and PyTorch's `.pth` and `.pt`, no code unpickled."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import clean_state_dict
from torch import Tensor, nn

from vgg_zoo.configurations import FC_KEYS

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training scripts put a state dict within a checkpoint, in the order in which timm looks."""


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file.

    Returns:
        The state dict, in its own layout, in float32.

    Raises:
        ValueError: Not a whole file.
    """
    try:
        return _floats(load_file(file))
    except SafetensorError as error:
        raise ValueError(f"{file} is no whole safetensors file ({error}). Fetch it again.") from error


def read_pickled(file: Path, zipped: bool) -> dict[str, Tensor]:
    """Read what `torch.save` wrote: a state dict, or a checkpoint with one in it; only tensors and plain data.

    Args:
        file: Of any version of PyTorch.
        zipped: Since version 1.6 it is a zip file, which is mapped and not read at once.

    Returns:
        The state dict, in its own layout, in float32.

    Raises:
        ValueError: Not a whole file, one with Python objects (which are never run), or no state dict.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{file} is no plain state dict of PyTorch's, or damaged ({reason}). Where it comes from, save only "
            "`model.state_dict()`; Python objects in it are never run here."
        ) from error
    return _floats(_unwrapped(file, found))


def _unwrapped(file: Path, found: Any) -> Mapping[str, Tensor]:
    if isinstance(found, Mapping):
        found = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), found)
        if found and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
            return clean_state_dict(dict(found))
    raise ValueError(
        f"{file} holds no state dict: neither names with their tensors, nor these under one of {', '.join(_WRAPPERS)}"
    )


def _floats(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.float() if value.is_floating_point() else value for key, value in state_dict.items()}


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
