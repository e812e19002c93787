"""A device's clock, its memory and its ceilings."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from benchmarks.card.report import Setting
from benchmarks.memory import peak_memory

DTYPES = {"IEEE fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
"""Arithmetic by its name; TF32 is a way to multiply float32, and a GPU's only."""


def allow_tf32(allowed: bool) -> None:
    """Let matrix products and convolutions of float32 round their factors to TF32, or not."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def settle(setting: Setting) -> None:
    """Wait for what the device still has to do."""
    if setting.gpu:
        torch.cuda.synchronize()


def seconds(setting: Setting, run: Callable[[], object], times: int = 1) -> float:
    """Of one run, of so many that the device does one behind the other without a pause."""
    settle(setting)
    begun = time.perf_counter()
    for _ in range(times):
        run()
    settle(setting)
    return (time.perf_counter() - begun) / times


def interleaved(
    setting: Setting, runs: Mapping[str, Callable[[], object]], rounds: int, times: int
) -> dict[str, float]:
    """Median seconds of each run, in rounds of so many runs of each: a slow spell falls on all of them."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(seconds(setting, run, times))
    return {name: statistics.median(each) for name, each in found.items()}


def gemm_rate(setting: Setting, arithmetic: str = "bf16") -> float:
    """FLOP/s of a large matrix product, the best of five: what nothing on this device that is made of them exceeds.

    Args:
        setting: Where.
        arithmetic: A key of `DTYPES`; TF32 on a GPU only.
    """
    size, times = (8192, 10) if setting.gpu else (512, 2)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allow_tf32(arithmetic == "tf32")
    one, other = (torch.randn(size, size, device=setting.device).to(DTYPES[arithmetic]) for _ in range(2))
    out = torch.empty_like(one)

    def product() -> None:
        torch.mm(one, other, out=out)

    seconds(setting, product, 3)
    best = min(seconds(setting, product, times) for _ in range(5))
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    return 2 * size**3 / best


def copy_rate(setting: Setting, pinned_host: bool) -> float:
    """Bytes a second that a large copy moves: from one place of the device to another (read and written), or to it."""
    count = 2**30 if setting.gpu else 2**24
    to = torch.empty(count, dtype=torch.uint8, device=setting.device)
    where = "cpu" if pinned_host else setting.device
    source = torch.zeros(count, dtype=torch.uint8, device=where, pin_memory=pinned_host and setting.gpu)

    def copy() -> None:
        to.copy_(source, non_blocking=True)

    seconds(setting, copy, 2)
    return count * (1 if pinned_host else 2) / min(seconds(setting, copy, 5) for _ in range(3))


def in_use(setting: Setting) -> int:
    """Bytes of tensors on the device; nothing is counted on a CPU."""
    return torch.cuda.memory_allocated() if setting.gpu else 0


def peak(setting: Setting, run: Callable[[], object], before: int) -> float:
    """GB of tensors at the most during a run, beyond those `in_use` before; on a CPU the process's own peak."""
    if not setting.gpu:
        return peak_memory()
    torch.cuda.reset_peak_memory_stats()
    seconds(setting, run)
    return (torch.cuda.max_memory_allocated() - before) / 1e9
