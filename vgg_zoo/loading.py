"""Nets whose weights are about to be loaded: no number is drawn for a parameter that the file overwrites."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from .configurations import Configuration
from .initialisation import initialise
from .model import VGG


@contextmanager
def without_draws(kind: type[VGG]) -> Iterator[Callable[..., VGG]]:
    """A constructor of nets for timm to load weights into, in place of `kind`, for the time of the block.

    Such a net has memory and nothing in it. Loading copies the file into that memory, so that the net does not change
    with a file that is altered later; what was not loaded (the classifier of other classes) is then initialised as
    `kind` would have done it. The random generator is left alone but for that.
    """
    hooks = []

    def make(
        cfg: str | Configuration,
        device: torch.device | str | None = None,
        initialisation: str = "glorot",
        std: float = 0.01,
        **kwargs: Any,
    ) -> VGG:
        # On meta the constructor's draws, PyTorch's own and ours, cost no time and consume no random numbers.
        net = kind(cfg, device="meta", initialisation=initialisation, std=std, **kwargs)
        net.to_empty(device=torch.get_default_device() if device is None else device)
        begin = partial(_begin_missing, method=initialisation, std=std)
        hooks.append(net.register_load_state_dict_post_hook(begin))
        return net

    try:
        yield make
    finally:
        for hook in hooks:  # not sooner: PyTorch is going through its hooks while one runs
            hook.remove()


def _begin_missing(net: nn.Module, result: Any, method: str, std: float) -> None:
    """Initialise the layers of which something was not in what was loaded."""
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in result.missing_keys):
        initialise(net.get_submodule(layer), method, std)
