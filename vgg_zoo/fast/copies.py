"""The copies that evaluators and descriptors infer with: one for each model, made again when its weights change."""

import threading
import weakref
from typing import Any

import timm.models
import torch
from torch import nn

from vgg_zoo.devices import arithmetic_of
from vgg_zoo.fast.net import FastVGG
from vgg_zoo.fast.parts import check_can_be_copied

_copies: "weakref.WeakKeyDictionary[nn.Module, FastVGG]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def net_for(model: Any, exact: bool = False) -> Any:
    """The net to evaluate a model with: its fast copy, made once and again whenever the weights have changed.

    Args:
        model: A VGG.
        exact: The model itself, as it is wherever a copy is of no use: on a GPU, in other types than float32 and
            under autocast; or cannot be: with hooks or strange layers.
    """
    if not can_be_fast(model, exact):
        return model
    with _lock:
        fast = _copies.get(model)
        if fast is None or not fast.is_of(model):
            _copies.pop(model, None)
            fast = None  # its memory is free before the next one takes as much
            fast = _copies[model] = FastVGG(model)
    return fast


def can_be_fast(model: Any, exact: bool = False) -> bool:
    """Whether `net_for` gives a copy."""
    weight = next(model.parameters())
    if exact or isinstance(model, FastVGG) or not isinstance(model, timm.models.VGG):
        return False
    if not (weight.is_cpu and weight.dtype == torch.float32) or torch.is_autocast_enabled("cpu"):
        return False
    try:
        check_can_be_copied(model)
    except ValueError:
        return False
    return True


def arithmetic(model: Any, exact: bool = False) -> str:
    """What results say of how they are computed.

    Returns:
        "winograd" by a fast copy; by the net itself "tf32", "bf16", "fp16", or "exact" for IEEE float32 and float64.
    """
    weight = next(model.parameters())
    copied = isinstance(model, FastVGG) and weight.is_cpu and weight.dtype == torch.float32
    return "winograd" if copied or can_be_fast(model, exact) else arithmetic_of(weight)
