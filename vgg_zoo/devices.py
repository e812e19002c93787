"""What follows from the device that a net is on: pixels at once, copies that wait for nothing, and its arithmetic."""

import platform
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LEAST_PIXELS = 2**20
"""That go through a net at once on a CPU, and on a GPU at the least."""

_MOST_PIXELS = 2**24  # maps of 64 channels then have 2**30 numbers, which 32-bit indices reach
_BYTES_A_PIXEL = 2**12

_CPUINFO = Path("/proc/cpuinfo")
_HALF = {torch.bfloat16: "bf16", torch.float16: "fp16"}

_constants: dict[tuple[tuple[Any, ...], torch.dtype, torch.device], Tensor] = {}
_MOST_CONSTANTS = 256


def default_most_pixels(device: torch.device) -> int:
    """Pixels that go through a net at once where the caller does not say.

    On a CPU 2**20. On a GPU one for each 4 kB of its memory, rounded down to a power of two, from 2**20 to 2**24: a
    pixel of the first stage has 64 numbers, 256 bytes, in each of a convolution's input, output and working memory, and
    most of the memory is left to the weights and to float64. All of the memory counts, not what is free, so that a
    device always has the same batches.
    """
    pixels = total_memory(device) // _BYTES_A_PIXEL
    return 2 ** (min(max(pixels, LEAST_PIXELS), _MOST_PIXELS).bit_length() - 1)


def device_for(wanted: torch.device | str | None, loaded: bool) -> torch.device | None:
    """Where a net is to go; None: it stays.

    Args:
        wanted: A device, "cuda:1"; "auto", where a net that we load goes to the GPU if CUDA has one, and a module stays
            where its owner put it; None, where every net stays.
        loaded: Whether the net was loaded by us.

    Raises:
        ValueError: No such device here.
    """
    if wanted is None or wanted == "auto":
        return torch.device("cuda") if wanted and loaded and torch.cuda.is_available() else None
    here = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    # What PyTorch raises depends on the device and on how it was built.
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f"there is no device {wanted!r} here; choose from auto, {', '.join(here)}") from error
    return device


def total_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory; 0 of a CPU and of what tells none."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    if device.type in ("cuda", "xpu"):
        return int(torch.get_device_module(device).get_device_properties(device).total_memory)
    return 0


def widest(device: torch.device) -> torch.dtype:
    """The type for sums: float64, but float32 on mps, which has no wider one."""
    return torch.float32 if device.type == "mps" else torch.float64


def stacked_on(device: torch.device, images: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as a batch on a device, by one copy; to CUDA from pinned memory, and nobody waits for it."""
    if device.type != "cuda" or not images[0].is_cpu:
        return torch.stack(list(images)).to(device)
    pinned = torch.empty((len(images), *images[0].shape), dtype=images[0].dtype, pin_memory=True)
    return torch.stack(list(images), out=pinned).to(device, non_blocking=True)


def transformed() -> bool:
    """Whether `torch.func` transforms what runs."""
    return not torch.compiler.is_compiling() and bool(torch._C._are_functorch_transforms_active())


def constant(like: Tensor, values: Sequence[Any]) -> Tensor:
    """Numbers as a tensor of their shape, in the type and on the device of another one.

    They are kept for the next call: to copy them to a GPU each time would make the process wait for it each time.

    Args:
        like: Any tensor.
        values: Numbers, or tuples of numbers.
    """
    own = torch.compiler.is_compiling() or transformed() or type(like) is not Tensor
    if own:  # a graph, a transform's level and a fake tensor have theirs, which nothing else can use
        return like.new_tensor(values)
    key = tuple(values), like.dtype, like.device
    found = _constants.get(key)
    if found is None:
        with torch.inference_mode(False):  # a tensor made in that mode could not take part in a backward pass later
            found = torch.tensor(values, dtype=like.dtype, device=like.device)
        if type(found) is Tensor and len(_constants) < _MOST_CONSTANTS:
            _constants[key] = found
    return found


def constant_like(images: Tensor, values: Sequence[float]) -> Tensor:
    """Numbers for each channel, (1, C, 1, 1), in the type and on the device of the images (B, C, H, W)."""
    return constant(images, values).view(1, -1, 1, 1)


def cpuinfo() -> str:
    """What Linux says of the CPUs; nothing elsewhere."""
    return _CPUINFO.read_text() if _CPUINFO.is_file() else ""


def cpu_name() -> str:
    """Of this machine's CPU, as its maker or Python has it."""
    named = re.search("^model name.*?:(.*)", cpuinfo(), re.MULTILINE)
    return named[1].strip() if named else platform.processor()


@cache
def bf16_of_cpu() -> str | None:
    """How this CPU multiplies bfloat16 and sums float32.

    Returns:
        "amx", at sixteen times the rate of float32, "avx512", at twice, or None: not at all.
    """
    told = cpuinfo()

    def has(function: str, flag: str) -> bool:  # the functions are PyTorch's own business, and may go
        return bool(getattr(torch.cpu, function, lambda: flag in told)())

    if not has("_is_avx512_bf16_supported", "avx512_bf16"):
        return None  # nor has any CPU AMX without it
    return "amx" if has("_is_amx_tile_supported", "amx_bf16") else "avx512"


def tf32_allowed() -> bool:
    """Whether PyTorch may compute float32 convolutions or products on CUDA with TF32's 10 bits."""
    convolutions = getattr(torch.backends.cudnn, "conv", None)
    if convolutions is None:  # before PyTorch 2.9, whose older flags fail where the newer ones were used
        return bool(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return "tf32" in (convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision)


def arithmetic_on(device: str, dtype: torch.dtype, tf32: bool) -> str:
    """What PyTorch's own layers compute with.

    Args:
        device: The type of the net's device, "cpu".
        dtype: Of the numbers that are multiplied: the weights', or autocast's.
        tf32: Whether TF32 may be used for float32 on CUDA.

    Returns:
        "bf16", "fp16", "tf32", or "exact": IEEE float32 or float64.
    """
    if dtype in _HALF:
        return _HALF[dtype]
    return "tf32" if tf32 and device == "cuda" and dtype == torch.float32 else "exact"


def arithmetic_of(weight: Tensor) -> str:
    """What a layer with this weight computes with as things are now, autocast included; as of `arithmetic_on`."""
    device, dtype = weight.device.type, weight.dtype
    if dtype != torch.float64 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)  # autocast leaves float64 as it is
    return arithmetic_on(device, dtype, tf32_allowed())
