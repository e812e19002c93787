"""Writing checkpoints while the training continues, from copies of the net and its momentum."""

import copy
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from recipes.runtime.processes import from_main
from recipes.training.checkpoint import Checkpoints

Files = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by file."""


class Snapshot:
    """Copies in the machine's memory, made in some hundredths of a second; the next `take` overwrites them.

    Attributes:
        net: A copy of the net, with the weights of the last `take`.
        files: Copies of the other tensors from the last `take`.
    """

    def __init__(self, net: nn.Module) -> None:
        # deepcopy gets the copies of all weights, so that it copies none itself, which would need a GPU's memory.
        copies: dict[int, Any] = {id(weight): nn.Parameter(_room(weight), False) for weight in net.parameters()}
        self.net: Any = copy.deepcopy(net, copies)
        self.files: dict[str, dict[str, Tensor]] = {}

    @torch.no_grad()
    def take(self, net: nn.Module, files: Files) -> None:
        """Copy a net like the initial one, and tensors of any files."""
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
    """Memory for a copy; it is pinned for a GPU, which writes fastest into it."""
    return torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda, requires_grad=False)


class CheckpointWriter:
    """Writes checkpoints in a thread, one after the other; all are written when its block ends.

    Args:
        checkpoints: The run's checkpoints.
        write_net: A function that writes a net as a folder for timm.
        accelerator: The processes, which call every method together; only process 0 writes.
    """

    def __init__(
        self, checkpoints: Checkpoints, write_net: Callable[[nn.Module, Path], None], accelerator: Accelerator
    ) -> None:
        self.checkpoints, self.write_net, self.accelerator = checkpoints, write_net, accelerator
        self._snapshot: Snapshot | None = None
        self._writing: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1)
        self._last = time.monotonic()

    def __enter__(self) -> None:
        self._last = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown()  # so that nothing writes into the folder any more, even after an error

    @property
    def minutes(self) -> float:
        """Minutes since the beginning of the last checkpoint."""
        return (time.monotonic() - self._last) / 60

    def write(self, step: int, state: Mapping[str, Any], net: nn.Module, tensors: Files) -> None:
        """Begin to write a checkpoint of the present state, after the previous one is on the disk.

        Args:
            step: SGD steps so far.
            state: Plain data, as in `Checkpoints.save`.
            net: The net whose weights are saved.
            tensors: Further files by name.

        Raises:
            FullDiskError: In all processes, for the previous checkpoint.
        """
        self.settle()
        self._last = time.monotonic()
        if self.accelerator.is_main_process:
            shot = self._snapshot = self._snapshot or Snapshot(net)
            shot.take(net, tensors)
            write_net = partial(self.write_net, shot.net)
            self._writing = self._thread.submit(self.checkpoints.save, step, state, write_net, shot.files)

    def settle(self) -> None:
        """Wait until the latest checkpoint is on the disk.

        Raises:
            FullDiskError: In all processes; the run ends with one line.
        """

        def written() -> None:
            writing, self._writing = self._writing, None
            if writing is not None:
                writing.result()

        from_main(self.accelerator, written, "writing a checkpoint")
