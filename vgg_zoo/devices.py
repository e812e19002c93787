"""Settings that depend on a net's device: pixels at once, copies without waiting, and the arithmetic."""

import platform
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LEAST_PIXELS = 2**20
"""Pixels that go through a net at once on a CPU; the minimum on a GPU."""

_MOST_PIXELS = 2**24  # maps of 64 channels then have 2**30 numbers, within 32-bit indices
_BYTES_A_PIXEL = 2**12

_CPUINFO = Path("/proc/cpuinfo")
_HALF = {torch.bfloat16: "bf16", torch.float16: "fp16"}

_constants: dict[tuple[tuple[Any, ...], torch.dtype, torch.device], Tensor] = {}
_MOST_CONSTANTS = 256


def default_most_pixels(device: torch.device) -> int:
    """The default number of pixels that go through a net at once.

    It is 2**20 on a CPU. On a GPU it is one for each 4 kB of memory, rounded down to a power of two, from 2**20 to
    2**24. A pixel of the first stage has 64 numbers, 256 bytes, in each of a convolution's input, output and working
    memory; the rest of the memory is left for the weights and for float64. The default depends on the total memory, not
    on the free memory, so a device always has the same batches.
    """
    pixels = total_memory(device) // _BYTES_A_PIXEL
    return 2 ** (min(max(pixels, LEAST_PIXELS), _MOST_PIXELS).bit_length() - 1)


def device_for(wanted: torch.device | str | None, loaded: bool) -> torch.device | None:
    """The device that a net moves to; None if it stays.

    Args:
        wanted: A device, such as "cuda:1"; "auto": a net that we load goes to the GPU if CUDA has one, and a module
            stays where its owner put it; None: every net stays.
        loaded: Whether we loaded the net.

    Raises:
        ValueError: The machine has no such device.
    """
    if wanted is None or wanted == "auto":
        return torch.device("cuda") if wanted and loaded and torch.cuda.is_available() else None
    here = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    # The exception depends on the device and on how PyTorch was built.
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f"there is no device {wanted!r} here; choose from auto, {', '.join(here)}") from error
    return device


def total_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory; 0 for a CPU, or if the device does not report it."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    if device.type in ("cuda", "xpu"):
        return int(torch.get_device_module(device).get_device_properties(device).total_memory)
    return 0


def widest(device: torch.device) -> torch.dtype:
    """The type for sums: float64, or float32 on mps, which has no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def stacked_on(device: torch.device, images: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as a batch on a device, in one copy; to CUDA from pinned memory, without waiting."""
    if device.type != "cuda" or not images[0].is_cpu:
        return torch.stack(list(images)).to(device)
    pinned = torch.empty((len(images), *images[0].shape), dtype=images[0].dtype, pin_memory=True)
    return torch.stack(list(images), out=pinned).to(device, non_blocking=True)


def transformed() -> bool:
    """Whether a `torch.func` transform is active."""
    return not torch.compiler.is_compiling() and bool(torch._C._are_functorch_transforms_active())


def constant(like: Tensor, values: Sequence[Any]) -> Tensor:
    """Numbers as a tensor of their shape, with the type and device of another tensor.

    The tensor is cached: copying the numbers to a GPU in each call would make the process wait each time.

    Args:
        like: Any tensor.
        values: Numbers, or tuples of numbers.
    """
    own = torch.compiler.is_compiling() or transformed() or type(like) is not Tensor
    if own:  # the tensors of a graph, a transform or a fake mode cannot be used elsewhere
        return like.new_tensor(values)
    key = tuple(values), like.dtype, like.device
    found = _constants.get(key)
    if found is None:
        with torch.inference_mode(False):  # a tensor made in inference mode could not be used in a later backward pass
            found = torch.tensor(values, dtype=like.dtype, device=like.device)
        if type(found) is Tensor and len(_constants) < _MOST_CONSTANTS:
            _constants[key] = found
    return found


def constant_like(images: Tensor, values: Sequence[float]) -> Tensor:
    """Numbers for each channel, (1, C, 1, 1), with the type and device of the images (B, C, H, W)."""
    return constant(images, values).view(1, -1, 1, 1)


def cpuinfo() -> str:
    """Linux' description of the CPUs; empty elsewhere."""
    return _CPUINFO.read_text() if _CPUINFO.is_file() else ""


def cpu_name() -> str:
    """Name of this machine's CPU, from its maker or from Python."""
    named = re.search("^model name.*?:(.*)", cpuinfo(), re.MULTILINE)
    return named[1].strip() if named else platform.processor()


@cache
def bf16_of_cpu() -> str | None:
    """How this CPU multiplies bfloat16 and sums in float32.

    Returns:
        "amx" (sixteen times the rate of float32), "avx512" (twice the rate), or None if it cannot.
    """
    told = cpuinfo()

    def has(function: str, flag: str) -> bool:  # these functions are private to PyTorch and may disappear
        return bool(getattr(torch.cpu, function, lambda: flag in told)())

    if not has("_is_avx512_bf16_supported", "avx512_bf16"):
        return None  # every CPU with AMX has it
    return "amx" if has("_is_amx_tile_supported", "amx_bf16") else "avx512"


def tf32_allowed() -> bool:
    """Whether PyTorch may compute float32 convolutions or products on CUDA with TF32's 10 bits."""
    convolutions = getattr(torch.backends.cudnn, "conv", None)
    if convolutions is None:  # before PyTorch 2.9; in 2.9 the older flags fail after the newer ones were used
        return bool(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return "tf32" in (convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision)


def arithmetic_on(device: str, dtype: torch.dtype, tf32: bool) -> str:
    """The arithmetic of PyTorch's own layers.

    Args:
        device: The type of the net's device, such as "cpu".
        dtype: Type of the factors: that of the weights, or autocast's.
        tf32: Whether TF32 may be used for float32 on CUDA.

    Returns:
        "bf16", "fp16", "tf32", or "exact": IEEE float32 or float64.
    """
    if dtype in _HALF:
        return _HALF[dtype]
    return "tf32" if tf32 and device == "cuda" and dtype == torch.float32 else "exact"


def arithmetic_of(weight: Tensor) -> str:
    """The present arithmetic of a layer with this weight, autocast included; values as in `arithmetic_on`."""
    device, dtype = weight.device.type, weight.dtype
    if dtype != torch.float64 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)  # autocast leaves float64 as it is
    return arithmetic_on(device, dtype, tf32_allowed())
