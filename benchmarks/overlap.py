"""How DDP hides its sums behind the backward pass, in two processes on a CPU, and what `step_model` says of that.

    python -m benchmarks.overlap [--rounds 10] [--images 4] [--output benchmarks/results/overlap]

Net D at a quarter of its width with FC layers of 4096, one thread in each of two processes (gloo): nine tenths of its
190 MB of gradients are those of the FC layers, which the backward pass computes first, as in the paper's net. A step is
forward and backward pass; it is measured without any sum, with DDP's buckets of several sizes, and the sums alone. The
profiler then tells which share of the sums' time lies before the end of the last layer's backward pass. gloo's threads
need the same two cores, which NCCL's do not; so a CPU hides less than a GPU.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile

import vgg_zoo  # noqa: F401 (registers the nets)
from benchmarks.card.trainings import last_words
from benchmarks.step_model import FIRST_BUCKET, Step, buckets, gradients, layers, overlapped
from benchmarks.timing import ROOT, benchmark_parser, interleaved, machine, save
from recipes.runtime.processes import keep_freed_memory

WIDTH, HIDDEN, PROCESSES = 0.25, 4096, 2
CAPS = (1, 25, 100, 1000)
"""DDP's `bucket_cap_mb`; 25 is its default, and what the recipes train with."""

HALF = "step with DDP, 25 MB, bf16 gradients"

Interval = tuple[float, float]


def in_processes(rounds: int, images: int) -> dict[str, Any]:
    """What process 0 of two found."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(PROCESSES), "--standalone"]
    command += ["-m", "benchmarks.overlap", "--process", "--rounds", str(rounds), "--images", str(images)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(last_words(done.stderr))
    return dict(json.loads(done.stdout))


def measure(rounds: int, images: int) -> dict[str, Any]:
    """In each of the processes: every kind of step in seconds, and the profiler's share.

    Of all rounds the least counts: both processes need both cores at once, which a busy machine seldom grants.
    """
    torch.manual_seed(0)
    net: Any = timm.create_model("vgg_d", width_multiplier=WIDTH, head_hidden_size=HIDDEN, drop_rate=0.0).train()
    given = torch.randn(images, 3, 224, 224), torch.zeros(images, dtype=torch.long)
    models = {
        f"{cap} MB": DistributedDataParallel(copy.deepcopy(net), bucket_cap_mb=cap, gradient_as_bucket_view=True)
        for cap in CAPS
    }
    models["bf16"] = DistributedDataParallel(copy.deepcopy(net), gradient_as_bucket_view=True)
    models["bf16"].register_comm_hook(None, bf16_compress_hook)
    sent = [torch.zeros(size // 4) for size, _ in buckets(layers("D", WIDTH, HIDDEN))]

    def step(model: nn.Module) -> None:
        model.zero_grad()
        nn.functional.cross_entropy(model(given[0]), given[1]).backward()

    def sums() -> None:
        for work in [dist.all_reduce(each, async_op=True) for each in sent]:
            work.wait()

    def apart(run: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            dist.barrier()
            run()

        return both

    runs = {"alone": apart(lambda: step(net)), "sums": apart(sums)}
    runs |= {name: apart(lambda model=model: step(model)) for name, model in models.items()}  # type: ignore[misc]
    interleaved(runs, 2)  # DDP puts its buckets in order after the first backward pass
    found: dict[str, Any] = {name: min(seconds) for name, seconds in interleaved(runs, rounds).items()}
    begun = time.process_time()
    for _ in range(rounds):
        sums()
    found["busy"] = (time.process_time() - begun) / rounds
    shares = [hidden_share(lambda: step(models["25 MB"])) for _ in range(3)]
    return found | {"hidden": statistics.median(shares), "processes": dist.get_world_size()}


def hidden_share(run: Callable[[], None]) -> float:
    """Of the sums' time, the share before the end of the last gradient's computation, as the profiler has it."""
    dist.barrier()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        run()
    events = profiled.events() or []
    sums = [(each.time_range.start, each.time_range.end) for each in events if each.name == "gloo:all_reduce"]
    last = max(each.time_range.end for each in events if each.name == "aten::convolution_backward")
    return before(sums, last)


def before(intervals: list[Interval], time: float) -> float:
    """The share of the time that intervals cover together which lies before a time."""
    covered = earlier = end = 0.0
    for start, stop in sorted(intervals):
        begin = max(start, end)
        covered += max(0.0, stop - begin)
        earlier += max(0.0, min(stop, time) - begin)
        end = max(end, stop)
    return earlier / covered


def predicted(alone: float, sums: float, cap: int) -> Step:
    """The model's step, of the measured step without sums and of the measured sums, as if these needed no core.

    Args:
        alone: Seconds of forward and backward pass.
        sums: Seconds of all sums.
        cap: DDP's `bucket_cap_mb`.
    """
    of = layers("D", WIDTH, HIDDEN)
    sent = buckets(of, FIRST_BUCKET, cap * 2**20)
    work, size = sum(layer.multiply_adds for layer in of), gradients(of)
    backward = [alone * 2 / 3 * layer.multiply_adds / work for layer in of]
    return overlapped(alone / 3, backward, [(sums * each / size, place) for each, place in sent], 0.0)


def lines(found: dict[str, Any]) -> list[dict[str, str]]:
    """The table: measured, as the model has it, and so with the time on the cores that gloo takes from the step."""
    alone, sums, busy = found["alone"], found["sums"], found["busy"]
    heads = ("measured (s)", "model (s)", "model, cores shared (s)")
    size = gradients(layers("D", WIDTH, HIDDEN))
    rows = [
        ("step without sums", alone, None),
        (f"sums alone: {size / 1e6:.0f} MB, {size / sums / 1e9:.2f} GB/s", sums, None),
        ("of them, on a core", busy, None),
        *((f"step with DDP, bucket_cap_mb={cap}", found[f"{cap} MB"], predicted(alone, sums, cap)) for cap in CAPS),
        (HALF, found["bf16"], predicted(alone, sums / 2, 25)),
    ]
    table = []
    for what, measured, model in rows:
        cells = [f"{measured:.3f}", "–", "–"]
        if model is not None:
            taken = busy / 2 if what == HALF else busy
            cells[1:] = [f"{model.total:.3f}", f"{model.compute + max(model.exposed, taken):.3f}"]
        table.append({"two processes, one thread each": what} | dict(zip(heads, cells, strict=True)))
    return table


def main() -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "overlap", 10)
    parser.add_argument("--images", type=int, default=4, help="of each process")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.process:
        keep_freed_memory()  # as the recipes do
        dist.init_process_group("gloo")
        found = measure(args.rounds, args.images)
        if dist.get_rank() == 0:
            print(json.dumps(found))
        dist.destroy_process_group()
        return
    found = in_processes(args.rounds, args.images)
    if found["processes"] != PROCESSES:
        raise RuntimeError(f"{found['processes']} process(es) ran, not {PROCESSES}")
    torch.set_num_threads(1)  # what `machine` says
    note = (
        f"Net D at width {WIDTH}, FC layers of {HIDDEN}, {args.images} images a process, the least of {args.rounds}. "
        f"At 25 MB, {found['hidden']:.0%} of the sums' time is before the last gradient is computed (profiler). On: "
    )
    save(Path(args.output), lines(found), f"{note}{machine()}.")


if __name__ == "__main__":
    main()
