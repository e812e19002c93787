"""The processes of a command: their start, waiting for each other, agreement and end."""

import ctypes
import os
import pickle
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import (
    DDPCommunicationHookType,
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)
from huggingface_hub.utils import disable_progress_bars
from torch import Tensor

from recipes.runtime.hardware import check_devices, precision_of, set_arithmetic
from recipes.runtime.launchers import begin_process, check_launch, too_few_processes
from recipes.runtime.lifeline import hold_on
from recipes.runtime.patience import SignsOfLife
from recipes.runtime.signals import StoppedError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h

_SAID = "is_said_by_another_process"  # attribute of errors

_PATIENCE = timedelta(minutes=10)  # for another process's share of a step; torch.compile may need some of it


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of large tensors instead of giving it back to the system.

    A step on a CPU allocates hundreds of tensors of up to 800 MB. In every step, each would be mapped and each of its
    pages cleared by the kernel. Without this, net A's step takes four fifths of the time, and two processes on one
    machine do not slow each other down. Without glibc, this function does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)  # allocate from the heap, whatever the size
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # and never shrink it


def make_accelerator(
    folder: Path | None = None,
    precision: str | None = None,
    deterministic: bool = False,
    bf16_gradients: bool = False,
    trackers: Sequence[str] = (),
) -> Accelerator:
    """The accelerator of a command.

    Args:
        folder: Folder for trackers.
        precision: One of `recipes.names.PRECISIONS`; None takes that of the launcher.
        deterministic: Results on a GPU are bit-identical in every run.
        bf16_gradients: DDP sends gradients as bf16.
        trackers: Names of Accelerate's trackers.

    Raises:
        ValueError: The launcher's settings or the device do not fit.
    """
    begin_process()
    warning = check_devices()
    hook = DDPCommunicationHookType.BF16 if bf16_gradients else DDPCommunicationHookType.NO
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True, comm_hook=hook)
    accelerator = Accelerator(
        # If torchrun starts it without a GPU, Accelerate would do the whole work in each process.
        cpu=os.environ.get("WORLD_SIZE", "1") != "1" and not torch.accelerator.is_available(),
        mixed_precision=None if precision is None else "bf16" if precision == "bf16" else "no",
        log_with=list(trackers) or None,
        project_dir=folder,
        kwargs_handlers=[ddp, InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    check_launch(accelerator)
    set_arithmetic(precision_of(precision, accelerator), accelerator.device, deterministic)
    if warning and accelerator.is_local_main_process:
        print(warning, file=sys.stderr)
    hold_on(accelerator)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def only_main_speaks(accelerator: Accelerator) -> None:
    """The main process warns about too few processes; the others show no progress bars of the Hub's client."""
    if not accelerator.is_main_process:
        disable_progress_bars()
    elif warning := too_few_processes(accelerator.num_processes):
        print(warning, file=sys.stderr)


def _sendable(error: BaseException) -> BaseException:
    """An error that another process can raise: some errors cannot be pickled or unpickled."""
    try:
        same = pickle.loads(pickle.dumps(error))  # noqa: S301 (what was pickled in this line)
    except Exception:
        same = None
    return error if str(same) == str(error) else RuntimeError(f"{type(error).__name__}: {error}")


def together(accelerator: Accelerator, work: Callable[[], Any], what: str | None = None) -> Any:
    """Do this process's part of a work, and wait until all have done theirs; an error in one is raised in all.

    Args:
        accelerator: The processes, which call this together.
        work: The part of this process; its result is returned.
        what: The work in words, such as "reading the data set", if it may take hours. The others then wait for it, and
            a process that waits for more than a minute says so. None is for work that takes seconds.

    Raises:
        ValueError: A process gives no sign of life.
    """
    if accelerator.num_processes == 1:
        return work()
    rank, found, error = accelerator.process_index, None, None
    signs = SignsOfLife(rank, what) if what else nullcontext()
    with signs:
        try:
            found = work()
        except (Exception, StoppedError) as raised:
            error = raised
    outcomes: list[BaseException | None] = gather_object([_sendable(error) if error else None])
    for outcome in [error, *outcomes]:
        if outcome is not None:
            setattr(outcome, _SAID, not accelerator.is_local_main_process)
            raise outcome
    return found


def is_said_elsewhere(error: BaseException) -> bool:
    """Whether `together` raised the error in all processes, so that only the first one on each machine prints it."""
    return bool(getattr(error, _SAID, False))


def from_main(accelerator: Accelerator, compute: Callable[[], Any], what: str | None = None) -> Any:
    """Compute something in the main process, and return it in every process; arguments and errors as in `together`."""
    found = [together(accelerator, lambda: compute() if accelerator.is_main_process else None, what)]
    broadcast_object_list(found)
    return found[0]


def main_first(accelerator: Accelerator, compute: Callable[[], Any], what: str) -> Any:
    """Compute something in each process, first in the main one, so that the others find its downloads in a cache."""
    mine: list[Any] = []
    together(accelerator, lambda: mine.append(compute()) if accelerator.is_main_process else None, what)
    return together(accelerator, lambda: mine[0] if mine else compute(), what)


def outside_cause(error: RuntimeError) -> str | None:
    """The meaning of a PyTorch error that is not ours: a process is gone, or a GPU has too little memory."""
    text = str(error)
    first = text.splitlines()[0].split(". ")[0]  # gloo prints a whole page
    if isinstance(error, torch.OutOfMemoryError):
        return f"{first}: this device does not hold so much at once; give a smaller --most-pixels, or --device-batch"
    if "Duplicate GPU" in text:
        return "two processes use one GPU, which NCCL refuses; start one process for each GPU"
    if isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "Connection", "NCCL")):
        return f"another process of the job ended ({first}); the same command resumes"
    if "DataLoader worker" in text:
        return f"a process that loads images ended, for lack of memory perhaps ({first}); the same command resumes"
    return None


def greatest(accelerator: Accelerator, *numbers: int) -> list[int]:
    """The maximum of each number over all processes, which call this together."""
    found = torch.tensor(numbers, device=accelerator.device)
    if accelerator.num_processes > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return [int(number) for number in found.tolist()]


@torch.no_grad()
def broadcast(accelerator: Accelerator, tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of process 0; all processes give the same number and shapes, on their device."""
    if accelerator.num_processes > 1:
        for tensor in tensors:
            sent = tensor.contiguous()  # layouts may differ, such as NHWC and NCHW
            dist.broadcast(sent, 0)
            tensor.copy_(sent)


def end_training(accelerator: Accelerator) -> None:
    """Close trackers and the processes' connection, after the caller has released everything that it prepared.

    The net that DDP wrapped must be freed before the connection. With torch 2.8 it would otherwise be the last holder
    of the connection. It would then block Python while it waits for gloo's threads, and these wait for Python.
    """
    accelerator.free_memory()
    accelerator.end_training()
