"""The hardware of a command: its devices, their arithmetic, and the description of both in results."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState

from command_line.parser import MistypedError
from vgg_zoo.devices import cpu_name

_NEEDS_AMPERE = ("tf32", "bf16")
_USE_CPU = "ACCELERATE_USE_CPU"


def use_device(device: str) -> None:
    """Let Accelerate take a device, before its state is made.

    Args:
        device: One of `recipes.names.DEVICES`.

    Raises:
        MistypedError: There is no GPU, or the launcher forbids it.
    """
    if device == "cpu":
        os.environ[_USE_CPU] = "true"  # as Accelerate's launcher tells its processes
    elif device == "cuda" and _is_cpu_wanted():
        raise MistypedError(
            f"--device cuda: the launcher says that the CPU is to be used ({_USE_CPU}); leave either out"
        )
    elif device == "cuda" and not torch.cuda.is_available():
        raise MistypedError("--device cuda: PyTorch sees no GPU here; give --device cpu, or leave it out")


@contextmanager
def device_restored() -> Iterator[None]:
    """What `use_device` sets holds for one command; a notebook may call another one."""
    before = os.environ.get(_USE_CPU)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_USE_CPU, None)
        else:
            os.environ[_USE_CPU] = before


def _is_cpu_wanted() -> bool:
    return os.environ.get(_USE_CPU, "").lower() in ("1", "true", "yes")


def check_devices() -> str | None:
    """Check the GPUs of this machine before they are used.

    Returns:
        A warning about a GPU that PyTorch cannot use.

    Raises:
        ValueError: This machine has more processes than GPUs.
    """
    if _is_cpu_wanted():
        return None
    if not torch.cuda.is_available():
        return _unusable_gpu()
    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > gpus:
        raise ValueError(
            f"{processes} processes on this machine, and PyTorch sees {gpus} GPU(s): each process needs its own. Start "
            f"{gpus}, or let them see more (CUDA_VISIBLE_DEVICES). Of a card that is cut into MIG instances, PyTorch "
            "sees one"
        )
    return None


def _unusable_gpu() -> str | None:
    """Why PyTorch uses no NVIDIA GPU although there is one that is not hidden."""
    if not Path("/dev/nvidia0").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    if torch.version.cuda is None:
        why = f"this PyTorch ({torch.__version__}) was built without CUDA; pytorch.org says how to install another one"
    else:
        why = (
            f"its driver is {_driver() or 'not loaded'}, and this PyTorch was built for CUDA {torch.version.cuda}: "
            "update the driver, or install a PyTorch for an older CUDA"
        )
    return f"warning: there is an NVIDIA GPU that PyTorch cannot use, and the work is done on the CPU: {why}"


def precision_of(asked: str | None, accelerator: Accelerator) -> str:
    """The precision of a command: the given one, or else the launcher's bf16, or else fp32."""
    return asked or ("bf16" if accelerator.mixed_precision == "bf16" else "fp32")


def set_arithmetic(precision: str, device: torch.device, deterministic: bool) -> None:
    """Set PyTorch's precision, whatever its default or the launcher's: its own fp32 convolutions use TF32.

    Args:
        precision: One of `recipes.names.PRECISIONS`.
        device: Device of this process.
        deterministic: Make results bit-identical in every run; otherwise cuDNN measures which algorithm is fastest.

    Raises:
        ValueError: The device does not support the precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"--precision tf32 is arithmetic of NVIDIA's GPUs, and this is a {device.type}; take fp32")
    if device.type == "cuda" and precision in _NEEDS_AMPERE:
        capability = torch.cuda.get_device_capability(device)
        if capability < (8, 0):
            raise ValueError(
                f"--precision {precision} needs a GPU of compute capability 8.0 (Ampere), and "
                f"{torch.cuda.get_device_name(device)} has {capability[0]}.{capability[1]}; take fp32"
            )
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it would write every new tensor twice


def hardware() -> dict[str, Any]:
    """The description of the hardware for results.json, as plain data."""
    device = PartialState().device if PartialState._shared_state else torch.device("cpu")
    found: dict[str, Any] = {"device": device.type, "name": cpu_name(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        version: Any = torch.cuda.nccl.version() if torch.distributed.is_nccl_available() else None
        found |= {
            "name": torch.cuda.get_device_name(device),
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "nccl": ".".join(map(str, version)) if version else None,
            "tf32": torch.backends.cudnn.allow_tf32,
        }
    return {**found, "deterministic": torch.are_deterministic_algorithms_enabled()}


def _driver() -> str | None:
    """The version of NVIDIA's driver."""
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split("\n")[0]
    except (OSError, subprocess.SubprocessError):
        return None


def loading_processes(asked: int | None, device: torch.device) -> int:
    """Number of processes that load images for this one: the given number, or else this process's share of the cores of
    a machine with a GPU. Without a GPU it is 0, because the net needs the cores itself.
    """
    if asked is not None:
        return asked
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
