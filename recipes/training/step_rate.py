"""The rate of training steps on the device at hand, by a measurement of some seconds on random images."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.runtime.hardware import set_arithmetic, use_device
from recipes.runtime.processes import keep_freed_memory

STEPS = 3
"""Least number of measured steps, even where they take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRate:
    """Images a second of SGD steps in fp32 in one process, without reading images.

    Attributes:
        images: The median over the steps.
        least: Of the slowest step.
        most: Of the fastest step.
        batch: Images of a step.
        steps: That were measured.
        device: "cpu" or "cuda".
    """

    images: float
    least: float
    most: float
    batch: int
    steps: int
    device: str

    def sentence(self) -> str:
        """What was measured."""
        return (
            f"measured on this {self.device}: {self.least:.3g} to {self.most:.3g} in {self.steps} steps of "
            f"{self.batch} images in fp32, one process, without reading images"
        )


def measure(device: str, seconds: float = 10, model: str = "vgg_d", side: int = 224, **options: Any) -> StepRate:
    """Train a net on random images, and stop after so many seconds.

    Args:
        device: One of `recipes.names.DEVICES`.
        seconds: No step begins after this time, except that `STEPS` are always measured. The time begins with a step
            that is not measured, after the net is made.
        model: timm's name of the net; `options` are its.
        side: Of the images, in pixels.

    Raises:
        MistypedError: There is no GPU, or the launcher forbids it.
    """
    use_device(device)
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    set_arithmetic("fp32", torch.device(kind), deterministic=False)
    if kind == "cpu":
        keep_freed_memory()
    batch = 32 if kind == "cuda" else 4  # a CPU takes seconds for more
    net: nn.Module = timm.create_model(model, **options).to(kind).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    images = torch.randn(batch, 3, side, side, device=kind)
    labels = torch.zeros(batch, dtype=torch.long, device=kind)

    def step() -> float:
        begin = time.perf_counter()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        if kind == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    begin = time.perf_counter()
    step()  # makes the momentum, and warms up
    taken: list[float] = []
    while len(taken) < STEPS or time.perf_counter() - begin < seconds:
        taken.append(step())
    median, least, most = (batch / time_of(taken) for time_of in (statistics.median, max, min))
    return StepRate(images=median, least=least, most=most, batch=batch, steps=len(taken), device=kind)
