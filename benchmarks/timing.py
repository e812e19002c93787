"""What the benchmarks share: options, interleaved medians, processes, the machine's peak, and tables."""

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision

from vgg_zoo.devices import cpu_name, cpuinfo

ROOT = Path(__file__).resolve().parents[1]


def benchmark_parser(
    description: str | None, name: str, rounds: int, help_of_rounds: str | None = None
) -> argparse.ArgumentParser:
    """The options of most benchmarks: `--rounds`, and `--output` in `benchmarks/results`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=help_of_rounds)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results") / name, help=".md and .csv are added")
    return parser


def in_own_process(module: str, *arguments: str) -> Any:
    """What a module of the benchmarks prints in a process of its own, as JSON."""
    # Without compiled files each process would compile ours again, but not timm's, which pip has compiled.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    most_seconds: float = math.inf,
    least_rounds: int = 3,
    rest: float = 0,
) -> dict[str, list[float]]:
    """Seconds of each run, round by round, so that a slow spell of the machine falls on all of them.

    Args:
        runs: In the order in which they run.
        rounds: Of each.
        most_seconds: No further round begins after so many,
        least_rounds: but not before so many rounds.
        rest: Seconds without work before each run: threads fall asleep, and other processes take caches and clock.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for turn in range(rounds):
        if turn >= least_rounds and time.perf_counter() - begin > most_seconds:
            break
        for name, run in runs.items():
            time.sleep(rest)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each run: the median over rounds, after one round to warm up."""
    interleaved(runs, 1)
    return {name: statistics.median(seconds) for name, seconds in interleaved(runs, rounds).items()}


def matrix_product_peak(size: int = 3072, rounds: int = 9, dtype: torch.dtype = torch.float32) -> float:
    """What the machine can do: multiplications (with their additions) a second of a large product, at best."""
    one, other, out = (torch.randn(size, size).to(dtype) for _ in range(3))
    seconds = interleaved({"product": lambda: torch.mm(one, other, out=out)}, rounds + 1)["product"]
    return float(size**3 / min(seconds[1:]))


def copy_bandwidth(size: int = 2**29, rounds: int = 9) -> float:
    """Bytes a second that a copy of `size` bytes reads and writes, together, at best."""
    source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    return 2 * size / min(interleaved({"copy": lambda: target.copy_(source)}, rounds)["copy"])


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions that do (AVX-512 BF16, AMX, ARM's); others compute it as float32."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(cpuinfo().split())


def markdown(lines: Sequence[Mapping[str, str]]) -> str:
    """The lines as a Markdown table."""
    head = list(lines[0])
    body = ["| " + " | ".join(line.values()) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body])


def machine() -> str:
    """What the figures were measured on."""
    return (
        f"{cpu_name()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch "
        f"{torch.__version__}, timm {timm.__version__}, torchvision {torchvision.__version__}"
    )


def write(
    output: Path, lines: Sequence[Mapping[str, str]], note: str, data: Sequence[Mapping[str, str]] = (), above: str = ""
) -> str:
    """Write a table as Markdown and as CSV.

    Args:
        output: Without a suffix, which is added.
        lines: The table's.
        note: Below it.
        data: The CSV's lines, where they are not the table's.
        above: On top of it.

    Returns:
        The Markdown.
    """
    text = "\n\n".join(part for part in (above, markdown(lines), note) if part) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".md").write_text(text)
    with output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, (data or lines)[0].keys())
        writer.writeheader()
        writer.writerows(data or lines)
    return text


def save(output: Path, lines: Sequence[Mapping[str, str]], note: str) -> None:
    """Print a table, and write it."""
    print(f"\n{write(output, lines, note)}")
