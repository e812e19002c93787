"""The processes and devices of a run, as Accelerate's launcher or torchrun started them."""

import ctypes
import os
import pickle
import platform
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import datasets
import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DDPCommunicationHookType,
    DistributedDataParallelKwargs,
    DistributedType,
    InitProcessGroupKwargs,
    broadcast_object_list,
)

_PR_SET_PDEATHSIG = 1  # of Linux' sys/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h

_UNSUPPORTED = (DistributedType.DEEPSPEED, DistributedType.FSDP, DistributedType.MEGATRON_LM, DistributedType.XLA)

ON_CPU = {"ACCELERATE_USE_CPU": "true"}
"""Environment of `launch_command` on a machine without GPUs, or without the wish to use them."""


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of large tensors instead of giving it back to the system.

    A step on a CPU allocates hundreds of tensors of up to 800 MB; each would be mapped, and each of its pages cleared
    by the kernel, in every step. Without that net A's step takes four fifths of the time, and two processes on one
    machine do not slow each other. Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)  # allocate from the heap, whatever the size
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # and never shrink it


def die_with_launcher() -> None:
    """Let Linux kill this process when its launcher is killed.

    torchrun and Accelerate's launcher start every process in a session of its own. If the launcher is killed and cannot
    stop them, they go on training, and write into the folder of the run that its user then starts again. Without a
    launcher, or elsewhere than on Linux, nothing happens.
    """
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def launch_command(processes: int) -> list[str]:
    """The beginning of a command that runs a script in so many processes on this machine.

    `accelerate launch --cpu --num_processes 2` silently starts one process; told of GPUs and, by `ON_CPU`, forbidden to
    use them, it starts two.
    """
    if processes == 1:
        return [sys.executable]
    options = ["--multi_gpu", "--num_processes", str(processes), "--num_machines", "1", "--main_process_port", "0"]
    # Said in full, so that the launcher asks nothing and warns of nothing.
    options += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [sys.executable, "-m", "accelerate.commands.launch", *options]


def launch(script: str, *options: str | Path, processes: int) -> None:
    """Run a command of recipes/ in real processes on the CPU, as a user would on GPUs, and show what is typed for it.

    Raises:
        ValueError: It did not end well; its own words stand above.
    """
    words = [f"recipes/{script}.py", *map(str, options)]
    print("$", shlex.join(["accelerate", "launch", *words]), flush=True)
    root = Path(__file__).resolve().parents[2]
    words[0] = str(root / words[0])
    done = subprocess.run([*launch_command(processes), *words], check=False, env={**os.environ, **ON_CPU})
    if done.returncode:
        raise ValueError(f"recipes/{script}.py ended with code {done.returncode}; its own words are above")


def make_accelerator(
    folder: Path | None = None,
    precision: str | None = None,
    deterministic: bool = False,
    bf16_gradients: bool = False,
    trackers: Sequence[str] = (),
) -> Accelerator:
    """The accelerator of a command.

    Args:
        folder: Where trackers write.
        precision: "fp32", "fp64" or "bf16" arithmetic; None as the launcher says.
        deterministic: Bit-identical on a GPU in every run.
        bf16_gradients: DDP sends gradients as bf16.
        trackers: Names that Accelerate knows.
    """
    die_with_launcher()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
    hook = DDPCommunicationHookType.BF16 if bf16_gradients else DDPCommunicationHookType.NO
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True, comm_hook=hook)
    # The others wait while the main process computes the colours of a data set or hashes a large checkpoint.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))
    accelerator = Accelerator(
        mixed_precision={"fp32": "no", "fp64": "no", "bf16": "bf16", None: None}[precision],
        log_with=list(trackers) or None,
        project_dir=folder,
        kwargs_handlers=[ddp, patience],
    )
    _check_launch(accelerator)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def _check_launch(accelerator: Accelerator) -> None:
    """Refuse what the launcher's options or environment would change without a word.

    Raises:
        ValueError: Gradients accumulated over steps, float16, or processes that share a net otherwise than DDP.
    """
    kind, steps = accelerator.distributed_type, accelerator.gradient_accumulation_steps
    if kind in _UNSUPPORTED:
        raise ValueError(
            f"{kind.value} shares out the net or its optimiser, and the paper's training is SGD on a whole net in each "
            "process; start the command without it (accelerate config, or the environment's ACCELERATE_USE_...)"
        )
    if steps != 1:
        raise ValueError(
            f"the launcher accumulates gradients over {steps} steps (ACCELERATE_GRADIENT_ACCUMULATION_STEPS, or "
            "accelerate config), which changes what is learned; for less memory give --device-batch"
        )
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise ValueError(
            f"the launcher asks for {accelerator.mixed_precision}, whose range is too small without a scaled loss; "
            "--precision has fp32, bf16 and fp64"
        )


def processes_asked_for(command: list[str]) -> int | None:
    """The number after `--num_processes` in a launcher's command line; None where it names none."""
    for place, word in enumerate(command):
        flag, _, value = word.partition("=")
        if flag in ("--num_processes", "--num-processes"):
            value = value or (command[place + 1] if place + 1 < len(command) else "")
            return int(value) if value.isdigit() else None
    return None


def too_few_processes(accelerator: Accelerator) -> str | None:
    """A warning where a launcher started fewer processes than it was asked for, as `--cpu --num_processes 2` does."""
    try:
        asked = processes_asked_for(psutil.Process(os.getppid()).cmdline())
    except psutil.Error:
        return None
    started = accelerator.num_processes
    if asked is None or asked <= started:
        return None
    return (
        f"warning: {asked} processes were asked for and {started} started. `accelerate launch --cpu` starts one; for "
        f"{asked} on CPUs: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {asked} "
        "--num_machines 1 recipes/..."
    )


def only_main_speaks(accelerator: Accelerator) -> None:
    """The main process warns of too few processes; the others show no progress bars of `datasets`."""
    if not accelerator.is_main_process:
        datasets.disable_progress_bars()
    elif warning := too_few_processes(accelerator):
        print(warning, file=sys.stderr)


def _sendable(error: Exception) -> Exception:
    """The error as another process can raise it: some cannot be pickled, or not made again from what they hold."""
    try:
        same = pickle.loads(pickle.dumps(error))  # noqa: S301 (what was pickled in this line)
    except Exception:
        same = None
    return error if str(same) == str(error) else RuntimeError(f"{type(error).__name__}: {error}")


def from_main(accelerator: Accelerator, compute: Callable[[], Any]) -> Any:
    """What the main process computes, in every process; an error there ends all of them with its own words."""
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            found = [compute(), None]
        except Exception as error:
            found = [None, _sendable(error)]
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def end_training(accelerator: Accelerator) -> None:
    """Close trackers and the processes' connection, after the caller has let go of everything that it prepared.

    The net that DDP wrapped must go before the connection: with torch 2.8 it would be the last to hold it, and would
    wait, while it keeps Python from running, for threads of gloo that wait for Python.
    """
    accelerator.free_memory()
    accelerator.end_training()
