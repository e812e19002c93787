"""What a pass of ours takes at least, by what the machine does at best: multiplications and memory."""

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.timing import copy_bandwidth, matrix_product_peak, multiplies_bf16


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine does at best: multiplications a second in float32 and in bfloat16, bytes a second of a copy."""

    peak: float
    peak_bf16: float | None
    bandwidth: float

    @classmethod
    def measured(cls) -> "Rates":
        """Now, in this process."""
        bf16 = matrix_product_peak(dtype=torch.bfloat16) if multiplies_bf16() else None
        return cls(matrix_product_peak(), bf16, copy_bandwidth())

    def or_now(self) -> "Rates":
        """The better ones of these and of now: a shared machine is sometimes slower, its matrix unit by far."""
        now = Rates.measured()
        bf16 = max(filter(None, (self.peak_bf16, now.peak_bf16)), default=None)
        return Rates(max(self.peak, now.peak), bf16, max(self.bandwidth, now.bandwidth))


@dataclass(frozen=True, slots=True)
class Work:
    """What a pass cannot but do.

    Attributes:
        float32: Multiplications, with their additions, of layers in float32.
        bf16: Of those in bfloat16.
        bytes: Read from memory: the images, and once each weight in the form that is stored.
    """

    float32: float
    bf16: float
    bytes: float

    def least_seconds(self, rates: Rates) -> float:
        """max(bytes ÷ bandwidth, multiplications ÷ rate)."""
        multiplying = self.float32 / rates.peak + self.bf16 / (rates.peak_bf16 or rates.peak)
        return max(self.bytes / rates.bandwidth, multiplying)


def work_of(fast: Any, height: int, width: int, batch: int) -> Work:
    """The plan of a `fast_inference` copy, and fc8, which is not in the plan and in float32."""
    fc8 = fast.head.fc.weight.numel()
    multiplications = {"float32": float(batch * fc8), "bf16": 0.0}
    read = 4.0 * (batch * 3 * height * width + fc8)
    for layer in fast.plan(height, width, batch).layers:
        kind = "bf16" if layer.arithmetic == "bf16" else "float32"
        multiplications[kind] += layer.multiplications * 1e9
        read += (2 if kind == "bf16" else 4) * layer.weights
    return Work(multiplications["float32"], multiplications["bf16"], read)
