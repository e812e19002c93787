"""The speed of a training on this hardware, and which of its parts is the limit: loading, copying, or the net."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from recipes.training.batches import Batch
from recipes.training.feed import Feed
from recipes.training.learner import Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of one process in images a second.

    Attributes:
        together: The whole training.
        loading: Only decoding, cropping and batching images.
        copying: Only copying from the machine's memory to the device; None if the device is the CPU.
        net: Only SGD steps on images that are on the device.
        tera: TFLOP/s of forward and backward passes at the rate `together`.
        peak: TFLOP/s of a large matrix product in the same precision.
    """

    together: float
    loading: float
    copying: float | None
    net: float
    tera: float
    peak: float

    def sentences(self, workers: int) -> str:
        """The rates in words."""
        parts = {"loading": self.loading, "copying": self.copying, "the net": self.net}
        known = {name: rate for name, rate in parts.items() if rate is not None}
        alone = ", ".join(f"{name} {rate:.4g}" for name, rate in known.items())
        limit = min(known, key=known.__getitem__)
        share = self.tera / self.peak
        return (
            f"{self.together:.4g} images/s in each process; {self.tera:.3g} TFLOP/s, MFU {share:.0%}: of the rate of a "
            f"large matrix product here\n"
            f"each part alone, with {workers} process(es) that load, in images/s: {alone}; the limit is {limit}"
        )


def measured(learner: Learner, feed: Feed, batch: Batch, together: float, steps: int) -> Rates:
    """Measure each part alone; the net continues to learn meanwhile.

    Args:
        learner: A learner whose net has made a step.
        feed: The batches; they are read again from the beginning of the epoch.
        batch: A batch on the device.
        together: Images a second of the whole training, as measured before.
        steps: Number of steps of the net alone.
    """
    device, images = learner.accelerator.device, len(batch.labels)
    flops = flops_of(learner, batch)
    net = images * steps / _seconds(lambda: [learner.step(step, batch) for step in range(steps)], device)
    return Rates(
        together=together,
        loading=_loading_rate(feed),
        copying=_copying_rate(batch, device) if device.type == "cuda" else None,
        net=net,
        tera=together * flops / 1e12,
        peak=matrix_product_rate(device, learner.limits.precision) / 1e12,
    )


def flops_of(learner: Learner, batch: Batch) -> int:
    """Multiplications and additions of forward and backward passes for one image, without recomputed ones."""
    net, one = learner.net, batch.piece(slice(1), learner.accelerator.device)
    repeats, net.grad_checkpointing = net.grad_checkpointing, False
    learner.masks.select(slice(1))
    with FlopCounterMode(display=False) as counter:
        learner.loss(net, net(learner.images(one)), one).backward()
    net.grad_checkpointing = repeats
    learner.optimizer.zero_grad()
    return int(counter.get_total_flops())


def matrix_product_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a large matrix product, the best of several, in PyTorch's current precision.

    Args:
        device: Device of the product.
        precision: One of `recipes.names.PRECISIONS`.
    """
    dtype = {"bf16": torch.bfloat16, "fp64": torch.float64}.get(precision, torch.float32)
    size = 8192 if device.type == "cuda" else 1536
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(one)

    def multiply() -> Tensor:
        return torch.mm(one, other, out=out)

    multiply()
    return 2 * size**3 / min(_seconds(multiply, device) for _ in range(5))


def _loading_rate(feed: Feed) -> float:
    """The loading rate without the first batch, for which the workers start; with it if there is only one."""
    begin, images, first = time.perf_counter(), 0, 0.0
    for batch in feed:
        images += len(batch.labels)
        first = first or time.perf_counter() - begin
    seconds = time.perf_counter() - begin
    behind = images - len(batch.labels)
    return behind / (seconds - first) if behind else images / seconds


def _copying_rate(batch: Batch, device: torch.device) -> float:
    pinned = batch.pixels.cpu().pin_memory()
    return len(pinned) / min(_seconds(lambda: pinned.to(device, non_blocking=True), device) for _ in range(5))


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin
