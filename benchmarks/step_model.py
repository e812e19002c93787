"""A model of the time of an SGD step on many GPUs: computed from stated assumptions, measured on none.

    python -m benchmarks.step_model      # the table of docs/scaling.md

A step is a forward pass, a backward pass whose gradients DDP sums over the GPUs as they become ready, and SGD. A layer
takes the longer of its arithmetic and of moving its weights. Gradients are sent in DDP's buckets, one behind the other,
by a ring whose slowest link decides. What of it is not over when the backward pass is, is exposed. Input comes from
worker processes beside the GPU, and bounds the step where they are too slow. `python -m benchmarks.overlap` compares
the same model with two processes on a CPU.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import markdown
from vgg_zoo.configurations import configuration

FIRST_BUCKET, BUCKET = 2**20, 25 * 2**20
"""Bytes that DDP collects before it sends a bucket, the first one and the others (`bucket_cap_mb`)."""

PIPELINE = Path(__file__).resolve().parent / "results/input_pipeline.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer with weights.

    Attributes:
        name: The paper's.
        weights, biases: Numbers of them.
        multiply_adds: Of an image's forward pass.
    """

    name: str
    weights: int
    biases: int
    multiply_adds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Assumptions; rates of one GPU, in units a second.

    Attributes:
        gemm: FLOP of a large matrix product in bf16.
        efficiency: Share of it that a net's layers reach.
        memory: Bytes moved.
        cores: Of the CPU, for each GPU.
        images: That one core decodes and crops.
        link: Bytes between GPUs of a machine, each way.
        latency: Seconds that a message takes at the least.
        optimizer_bytes: That SGD with momentum moves for each weight: weight, gradient and momentum read, two written.
    """

    gemm: float = 700e12
    efficiency: float = 0.4
    memory: float = 3e12
    cores: int = 12
    images: float = 700.0
    link: float = 350e9
    latency: float = 10e-6
    optimizer_bytes: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Seconds of a step of one GPU.

    Attributes:
        compute: Forward and backward pass, and SGD.
        communication: All buckets, one behind the other.
        exposed: The part of it that the backward pass does not hide.
        input: What the images take from their files on; hidden as long as it is shorter than the rest.
    """

    compute: float
    communication: float
    exposed: float
    input: float = 0.0

    @property
    def total(self) -> float:
        """Of the step."""
        return max(self.compute + self.exposed, self.input)


def layers(net: str, width: float = 1.0, hidden: int = 4096, side: int = 224, classes: int = 1000) -> list[Layer]:
    """A net's layers in order, of its configuration alone."""
    found, channels = [], 3
    for each in configuration(net).layers():
        if each.kind == "maxpool":
            side //= 2
        elif each.kind == "conv":
            out = round(each.channels * width)
            weights = each.kernel**2 * channels * out
            found.append(Layer(name=each.name, weights=weights, biases=out, multiply_adds=side**2 * weights))
            channels = out
    for name, inputs, out in (("fc6", 49 * channels, hidden), ("fc7", hidden, hidden), ("fc8", hidden, classes)):
        found.append(Layer(name=name, weights=inputs * out, biases=out, multiply_adds=inputs * out))
    return found


def gradients(of: Sequence[Layer], each: int = 4) -> int:
    """Bytes of all gradients, of so many bytes each."""
    return sum(layer.weights + layer.biases for layer in of) * each


def buckets(of: Sequence[Layer], first: int = FIRST_BUCKET, most: int = BUCKET) -> list[tuple[int, int]]:
    """DDP's: (bytes in fp32, place of the layer whose gradient completes it), in the order in which they are sent.

    Gradients are taken as they become ready, bias before weight, from the last layer to the first. A bucket is closed
    as soon as it holds `most` bytes, so that a larger gradient makes a larger bucket: no gradient is cut.
    """
    found: list[tuple[int, int]] = []
    held = last = 0
    for place in reversed(range(len(of))):
        for count in (of[place].biases, of[place].weights):
            held, last = held + 4 * count, place
            if held >= (most if found else first):
                found.append((held, last))
                held = 0
    return [*found, (held, last)] if held else found


def ring(count: float, processes: int, bandwidth: float, latency: float = 0.0) -> float:
    """Seconds of an all-reduce of so many bytes: each process sends 2 (n − 1) / n of them over its link.

    The latency is that of a tree, which NCCL takes among many machines: two messages for each doubling.
    """
    return 2 * (processes - 1) / processes * count / bandwidth + 2 * math.log2(processes) * latency


def overlapped(forward: float, backward: Sequence[float], sent: Sequence[tuple[float, int]], after: float) -> Step:
    """A step whose buckets are sent one behind the other, each not before its gradients are there.

    Args:
        forward: Seconds.
        backward: Seconds of each layer, in the net's order; they run from the last to the first.
        sent: Seconds of each bucket and the place of the layer that completes it, in the order of sending.
        after: Seconds of what follows, which waits for all buckets.
    """
    ready, now = [0.0] * len(backward), 0.0
    for place in reversed(range(len(backward))):
        now += backward[place]
        ready[place] = now
    free = 0.0
    for seconds, place in sent:
        free = max(free, ready[place]) + seconds
    communication = sum(seconds for seconds, _ in sent)
    return Step(compute=forward + now + after, communication=communication, exposed=max(0.0, free - now))


def step(
    of: Sequence[Layer], machine: Machine, images: int, processes: int, bandwidth: float, bf16_gradients: bool
) -> Step:
    """A step of one GPU of many.

    Args:
        of: The net.
        machine: Assumptions.
        images: Of one GPU.
        processes: GPUs in all.
        bandwidth: Bytes a second of the slowest link of the ring, each way.
        bf16_gradients: Half the bytes are sent (`--bf16-gradients`).
    """
    passes = [
        max(
            2 * layer.multiply_adds * images / (machine.gemm * machine.efficiency),
            8 * layer.weights / machine.memory,  # fp32 read, rounded to bf16, and that read again
        )
        for layer in of
    ]
    share = 0.5 if bf16_gradients else 1.0
    sent = [(ring(share * count, processes, bandwidth, machine.latency), place) for count, place in buckets(of)]
    after = machine.optimizer_bytes * gradients(of, 1) / machine.memory
    found = overlapped(sum(passes), [2 * each for each in passes], sent, after)
    needed = images / (machine.cores * machine.images)
    return Step(compute=found.compute, communication=found.communication, exposed=found.exposed, input=needed)


def images_of_a_core() -> float:
    """That one core makes of JPEG files in a second, as `benchmarks.input_pipeline` measured it."""
    with PIPELINE.open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["pipeline"] == "one core, S=256"]
    return float(row["ours (images/s)"])


CASES = (
    ("one machine, NVLink", 8, 350e9),
    ("8 machines, 100 Gb/s each", 64, 100e9 / 8),
    ("8 machines, 400 Gb/s each", 64, 400e9 / 8),
    ("64 machines, 100 Gb/s each", 512, 100e9 / 8),
    ("64 machines, 400 Gb/s each", 512, 400e9 / 8),
)
"""Name, GPUs, and bytes a second of the slowest link."""

PAPERS_BATCH = 256


def table(net: str = "D") -> list[dict[str, str]]:
    """A line for each network and batch: of the paper's 256 images where each GPU gets one, and of 256 a GPU."""
    of, machine, lines = layers(net), Machine(images=images_of_a_core()), []
    for name, processes, bandwidth in CASES:
        for images in (PAPERS_BATCH // processes, PAPERS_BATCH):
            line = {"GPUs": f"{processes}: {name}", "images a GPU": str(images) if images else "–"}
            full, half = (
                step(of, machine, images, processes, bandwidth, bf16_gradients) for bf16_gradients in (False, True)
            )
            cells = {"compute (ms)": f"{1e3 * full.compute:.1f}", "input (ms)": f"{1e3 * full.input:.1f}"}
            for kind, found in (("fp32", full), ("bf16", half)):
                cells |= {
                    f"{kind}: all-reduce (ms)": f"{1e3 * found.communication:.1f}",
                    f"{kind}: exposed (ms)": f"{1e3 * found.exposed:.1f}",
                    f"{kind}: images/s": f"{float(f'{images * processes / found.total:.3g}'):,.0f}",
                    f"{kind}: efficiency": f"{found.compute / found.total:.0%}",
                }
            lines.append(line | (cells if images else dict.fromkeys(cells, "–")))
    return lines


def main() -> None:
    """Print the table."""
    print(markdown(table()))


if __name__ == "__main__":
    main()
