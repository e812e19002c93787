"""The copies that evaluators and descriptors use: one for each model, made again when its weights change."""

import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import timm.models
import torch
from torch import nn

from vgg_zoo.devices import arithmetic_of
from vgg_zoo.fast.bf16 import check_precision
from vgg_zoo.fast.net import FastVGG
from vgg_zoo.fast.parts import check_can_be_copied

_copies: "weakref.WeakKeyDictionary[nn.Module, dict[str | None, FastVGG]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def net_for(model: Any, exact: bool = False, precision: str | None = None) -> Any:
    """The net to evaluate a model with: its fast copy, which is made once, and again whenever the weights have changed.

    Args:
        model: A VGG.
        exact: Use the model itself. It is also used where a copy is useless (on a GPU, in types other than float32,
            under autocast) or impossible (with hooks or unknown layers).
        precision: As in `fast_inference`; a model has a copy for each. "bf16" always needs a copy.

    Raises:
        ValueError: The model cannot be computed in the precision.
    """
    check_can_be(model, exact, precision)
    if not can_be_fast(model, exact, precision):
        return model
    bf16 = "bf16" if precision == "bf16" else None
    with _lock:
        of_model = _copies.setdefault(model, {})
        if any(not fast.is_of(model) for fast in of_model.values()):
            of_model.clear()  # free their memory before the next copy takes as much
        if bf16 not in of_model:
            of_model[bf16] = FastVGG(model, precision=bf16)
        return of_model[bf16]


def check_can_be(model: Any, exact: bool, precision: str | None) -> None:
    """Refuse a precision that a model cannot be computed in.

    Raises:
        ValueError: As in `vgg_zoo.fast.bf16.check_precision`; or bf16 is given with the exact net or with a net that
            cannot be copied; or a copy has another precision.
    """
    if exact and precision == "bf16":
        raise ValueError("exact runs the net itself, and precision='bf16' needs a copy; leave one of them out")
    if isinstance(model, FastVGG) and precision is not None and model.bf16 != (precision == "bf16"):
        raise ValueError(
            f"a fast_inference copy has its precision already, and precision={precision!r} is another one; give the "
            "net that it was made from"
        )
    if not isinstance(model, FastVGG):
        check_precision(precision, model)
        if precision == "bf16":
            check_can_be_copied(model)


def can_be_fast(model: Any, exact: bool = False, precision: str | None = None) -> bool:
    """Whether `net_for` gives a copy."""
    weight = next(model.parameters())
    if exact or isinstance(model, FastVGG) or not isinstance(model, timm.models.VGG):
        return False
    if precision == "bf16":
        return True
    autocast = precision is None and torch.is_autocast_enabled("cpu")
    if not (weight.is_cpu and weight.dtype == torch.float32) or autocast:
        return False
    try:
        check_can_be_copied(model)
    except ValueError:
        return False
    return True


def own_arithmetic(model: Any, precision: str | None) -> AbstractContextManager[Any]:
    """The context in which a net runs: a precision of its own turns autocast off."""
    device = next(model.parameters()).device.type
    return nullcontext() if precision is None else torch.autocast(device, enabled=False)


def arithmetic(model: Any, exact: bool = False, precision: str | None = None) -> str:
    """How a net is computed, as recorded in results.

    Returns:
        "winograd" or "bf16" by a fast copy; by the net itself "tf32", "bf16", "fp16", or "exact" for IEEE float32 and
        float64.
    """
    weight = next(model.parameters())
    if precision == "bf16" or (isinstance(model, FastVGG) and model.bf16):
        return "bf16"
    copied = isinstance(model, FastVGG) and weight.is_cpu and weight.dtype == torch.float32
    with own_arithmetic(model, precision):
        return "winograd" if copied or can_be_fast(model, exact, precision) else arithmetic_of(weight)
