"""The nets' forward pass on this machine's CPU, beside every other way to run them.

    python -m benchmarks.cpu [--nets E] [--sides 224] [--batches 1 8] [--busy] [--output benchmarks/results/cpu]

Nets A to E on images of 224, 384 and 512 pixels, one and eight at a time, by `vgg_zoo.fast_inference`, the plain net,
timm, torchvision, torch.compile, ONNX Runtime and OpenVINO: the same weights, in float32 with as many threads for each,
and at the defaults that users have (OpenVINO takes bfloat16 where the CPU has it). Their outputs are compared before
they are timed, in three situations: warm and cold, each alone in a process of its own, and in turn in one process, so
that a slow spell of the machine falls on all of them; `--busy` adds a fourth, beside a niced process that occupies one
core. What was measured is written to OUTPUT.md, .csv and .png after each step; `--add` keeps the other lines. On two
cores net E takes about three quarters of an hour, and a quarter with `--most-seconds 40`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import timm
import torch
from torch import Tensor

import vgg_zoo
from benchmarks.bound import Rates
from benchmarks.cpu_measurement import Measurement, machine_and_runtimes, time_alone
from benchmarks.cpu_plot import plot
from benchmarks.cpu_table import (
    Result,
    about_lines,
    csv_lines,
    rate_lines,
    read_csv,
    table_lines,
    with_others,
)
from benchmarks.implementations import IMPLEMENTATIONS, NotHereError, Subject, scores, zoos_net
from benchmarks.memory import peak_memory
from benchmarks.nets import NETS, PEERS
from benchmarks.situations import SITUATIONS
from benchmarks.timing import in_own_process, machine, markdown, save, write
from recipes.runtime.command import command, command_parser
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.extras import install

MOST_LOAD = 0.5
"""Processes that computed in the last minute, on a machine that measures nothing but itself."""

MEMORY_CASES = (("E", 224, 1), ("E", 224, 8), ("E", 512, 1))
OPENVINO = "OpenVINO, defaults"
MEMORY_GOALS = (("ours", "timm"), ("ours, bf16", OPENVINO))
"""Which should take no more than which."""


def write_all(output: Path, results: Sequence[Result], missing: Mapping[str, str]) -> None:
    """All three files, as far as there are results."""
    present = [name for name in IMPLEMENTATIONS if any(each.implementation == name for each in results)]
    title = "What the machine does at best, multiplications in large matrix products and a copy of 512 MiB:"
    above = f"{title}\n\n{markdown(rate_lines(results))}"
    write(output, table_lines(results, present), note(results, missing), csv_lines(results), above)
    try:
        plot(results, output.with_suffix(".png"))
    except ImportError as error:
        print(f"{output.with_suffix('.png')} is left out: it needs {error.name}: {install('benchmarks')}")


def note(results: Sequence[Result], missing: Mapping[str, str]) -> str:
    """What stands below the table."""
    text = (
        "Milliseconds a pass, medians; in brackets ÷ ours. Of the bound: max(bytes ÷ bandwidth, multiplications ÷ "
        "rate) ÷ time, with the multiplications that ours does and, as bytes, the images and once each of the weights "
        "that it multiplies. Goals: the nearest peer ÷ ours is at least so much, of `ours` among those in float32, of "
        "`ours, bf16` among all."
    )
    present = dict.fromkeys(each.situation for each in results)
    situations = "\n".join(f"- {name}: {SITUATIONS[name]}" for name in SITUATIONS if name in present)
    absent = [f"{name} is left out: it {why}." for name, why in missing.items()]
    return "\n\n".join([text, situations, markdown(about_lines(results)), *absent])


def others(args: argparse.Namespace) -> list[Result]:
    """With `--add`, what OUTPUT.csv has of this machine and these versions."""
    path, here = args.output.with_suffix(".csv"), machine_and_runtimes()
    found = read_csv(path) if args.add and path.is_file() else []
    strange = {each.machine for each in found} - {here}
    for each in sorted(strange):
        print(f"left out of {path}, as it was measured on another machine or with other versions: {each}")
    return [each for each in found if each.machine == here]


def measure(args: argparse.Namespace) -> None:
    """The table of speeds."""
    if os.getloadavg()[0] > MOST_LOAD:
        print(f"other processes compute here (load {os.getloadavg()[0]:.1f}): these are not the machine's figures")
    rates, results, before = Rates.measured(), list[Result](), others(args)
    missing = {
        name: "compiles for minutes, and is measured where --implementations names it"
        for name, each in IMPLEMENTATIONS.items()
        if each.asked_for and name not in args.implementations
    }
    for net in args.nets:
        with tempfile.TemporaryDirectory() as folder:
            subject = Subject(net, Path(folder), args.threads)
            for found in Measurement(subject, args, rates, missing).results():
                results += found
                together = with_others(results, before)
                if found:
                    write_all(args.output, together, missing)
                    names = list(dict.fromkeys(each.implementation for each in found))
                    print(markdown(table_lines(with_others(found, []), names)), flush=True)
    print(f"\n{args.output.with_suffix('.md').read_text()}")


MEMORY_OF: dict[str, Callable[[str], Callable[[Tensor], Tensor]]] = {
    "ours": lambda net: vgg_zoo.fast_inference(zoos_net(net).eval()),
    "ours, bf16": lambda net: vgg_zoo.fast_inference(zoos_net(net).eval(), precision="bf16"),
    "ours, exact": lambda net: zoos_net(net).eval(),
    "timm": lambda net: timm.create_model(PEERS[net]).eval(),
}


def memory_of(implementation: str, net: str, side: int, batch: int) -> None:
    """Print the peak of a process that makes a net and runs it, and has no other net beside it."""
    model, images = MEMORY_OF[implementation](net), torch.randn(batch, 3, side, side)
    for _ in range(3):
        scores(model, images)
    print(json.dumps(peak_memory()))


def memory(args: argparse.Namespace) -> None:
    """The table of peak memory, of ours beside the plain net, timm's and OpenVINO, each in a process of its own."""
    lines = []
    names = [name for name in MEMORY_OF if name != "ours, bf16" or bf16_of_cpu()]
    for net, side, batch in MEMORY_CASES:
        size, peaks = [str(side), str(batch)], {}
        for name in names:
            options = ["--threads", str(args.threads), "--memory-of", name, net, *size]
            peaks[name] = in_own_process("benchmarks.cpu", *options)
        with suppress(NotHereError, ImportError), tempfile.TemporaryDirectory() as folder:
            import openvino  # noqa: F401 (its process has it, but no PyTorch)

            file = Subject(net, Path(folder), args.threads).onnx
            peaks[OPENVINO] = in_own_process("benchmarks.openvino_memory", str(file), *size)
        goals = [
            f"{name} ≤ {peer}: {'met' if peaks[name] <= peaks[peer] else 'not met'}"
            for name, peer in MEMORY_GOALS
            if name in peaks and peer in peaks
        ]
        line = {"net": net, "image": size[0], "batch": size[1]}
        lines.append(
            line | {f"{name} (GB)": f"{peak:.2f}" for name, peak in peaks.items()} | {"goal": "; ".join(goals)}
        )
    text = "Peak memory of a process, weights and libraries included, which are PyTorch's but for OpenVINO"
    save(args.output.with_name(f"{args.output.name}_memory"), lines, f"{text}. On: {machine()}.")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = command_parser(__doc__)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--sides", nargs="+", type=int, default=[224, 384, 512], help="of the images, in pixels")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    usual = [name for name, each in IMPLEMENTATIONS.items() if not each.asked_for]
    parser.add_argument("--implementations", nargs="+", choices=list(IMPLEMENTATIONS), default=usual)
    usual = [name for name in SITUATIONS if name != "busy"]
    parser.add_argument("--situations", nargs="+", choices=list(SITUATIONS), default=usual)
    parser.add_argument("--busy", action="store_true", help="also beside a niced process that occupies one core")
    parser.add_argument("--rounds", type=int, default=7, help="timed passes of each implementation")
    parser.add_argument(
        "--most-seconds", type=float, default=150, help="for one line; after three rounds, no more begins behind it"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep the lines of OUTPUT that are not measured again and are of this machine",
    )
    parser.add_argument("--no-memory", action="store_true", help="leave the table of peak memory out")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/cpu"), help=".md, .csv, .png and _dark.png are added"
    )
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--time-alone", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.busy and "busy" not in args.situations:
        args.situations = [*args.situations, "busy"]
    if min(args.sides) < 224:
        parser.error(f"--sides must be at least 224, the paper's training crop; got {min(args.sides)}")
    return args


def run(args: argparse.Namespace) -> None:
    """Both tables."""
    torch.set_num_threads(args.threads)
    if args.memory_of:
        name, net, side, batch = args.memory_of
        memory_of(name, net, int(side), int(batch))
        return
    if args.time_alone:
        name, net, folder = args.time_alone
        time_alone(name, net, Path(folder), args)
        return
    measure(args)
    if not args.no_memory:
        memory(args)


main = command(run, options)

if __name__ == "__main__":
    sys.exit(main())
