"""A net and its momentum as they were, for a checkpoint that is written while the training goes on."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Files = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by file."""


class Snapshot:
    """Copies in the machine's memory, taken in some hundredths of a second; the next one overwrites them.

    Attributes:
        net: A copy of the net; its weights are those of the last `take`.
        files: The other tensors, likewise.
    """

    def __init__(self, net: nn.Module) -> None:
        # Told of the copies of all weights, deepcopy copies none itself, which would take a GPU's memory.
        copies: dict[int, Any] = {id(weight): nn.Parameter(_room(weight), False) for weight in net.parameters()}
        self.net: Any = copy.deepcopy(net, copies)
        self.files: dict[str, dict[str, Tensor]] = {}

    @torch.no_grad()
    def take(self, net: nn.Module, files: Files) -> None:
        """Copy a net like the one that was given at the beginning, and tensors of any files."""
        for own, weight in zip(self.net.parameters(), net.parameters(), strict=True):
            own.copy_(weight, non_blocking=True)
        before, self.files = self.files, {}
        for file, tensors in files.items():
            rooms = before.get(file, {})
            self.files[file] = {name: rooms[name] if name in rooms else _room(x) for name, x in tensors.items()}
            for name, tensor in tensors.items():
                self.files[file][name].copy_(tensor, non_blocking=True)
        if torch.cuda.is_initialized():
            torch.cuda.current_stream().synchronize()


def _room(tensor: Tensor) -> Tensor:
    """Memory for a copy; a GPU writes fastest into pinned memory."""
    return torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda, requires_grad=False)
