"""The nets' forward pass on this machine's CPU, beside every other way to run them, in one process.

    python -m benchmarks.cpu [--nets E] [--sides 224] [--batches 1 8] [--output benchmarks/results/cpu]

Nets A to E on images of 224, 384 and 512 pixels, one and eight at a time, by `vgg_zoo.fast_inference`, the plain net,
timm, torchvision, torch.compile, ONNX Runtime and OpenVINO: the same weights, float32, as many threads for each. Their
outputs are compared before they are timed, in turn, so that a slow spell of the machine falls on all of them. What was
measured is written to OUTPUT.md, .csv and .png after each line; `--add` keeps those that are there. On two cores the
whole table takes about an hour, and net E about fifteen minutes.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import timm
import torch
from torch import Tensor

import vgg_zoo
from benchmarks.cpu_table import MEMORY_GOAL, Result, csv_lines, plot, read_csv, table_lines, with_others
from benchmarks.implementations import BUILDERS, Forward, NotHereError, Prepare, Subject, has, scores, zoos_net
from benchmarks.memory import peak_memory
from benchmarks.nets import NETS, PEERS
from benchmarks.timing import in_own_process, interleaved, machine, markdown, matrix_product_peak, save, write
from recipes.runtime.command import command, command_parser

MOST_DIFFERENCE = 1e-3
MEMORY_CASES = (("E", 224, 1), ("E", 224, 8), ("E", 512, 1))


def built(subject: Subject, args: argparse.Namespace, missing: dict[str, str]) -> dict[str, Prepare]:
    """The implementations that have this net; why the others cannot run here goes into `missing`."""
    found = {}
    for name in args.implementations:
        if name in missing or not any(has(name, subject.name, side) for side in args.sides):
            continue
        try:
            found[name] = BUILDERS[name](subject)
        except NotHereError as error:
            missing[name] = str(error)
            print(f"{name} is left out: it {error}", flush=True)
    return found


def differences(runs: Mapping[str, Forward], what: str) -> dict[str, float]:
    """How far the class scores of each are from the first one's, over the largest of them.

    Raises:
        RuntimeError: Further than rounding explains: another net.
    """
    outputs = {name: run() for name, run in runs.items()}
    reference = outputs.get("ours, exact", next(iter(outputs.values())))
    found = {name: _difference(output, reference) for name, output in outputs.items()}
    for name, difference in found.items():
        if not difference < MOST_DIFFERENCE:
            raise RuntimeError(f"{name} computes something else than the others for {what}: it differs by {difference}")
    return found


def _difference(output: Tensor, reference: Tensor) -> float:
    if output.shape != reference.shape:
        return float("inf")
    return float((output - reference).abs().max() / reference.abs().max())


def row(
    subject: Subject, prepared: Mapping[str, Prepare], side: int, batch: int, args: argparse.Namespace, peak: float
) -> list[Result]:
    """The results for one shape."""
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    runs = {name: prepare(images) for name, prepare in prepared.items() if has(name, subject.name, side)}
    differ = differences(runs, f"net {subject.name} on {batch} × {side} × {side}")
    results = []
    for name, times in interleaved(runs, args.rounds, args.most_seconds).items():
        possible = statistics.median(times) * peak
        results.append(
            Result(
                net=subject.name,
                side=side,
                batch=batch,
                implementation=name,
                seconds=statistics.median(times),
                rounds=len(times),
                difference=differ[name],
                peak=peak,
                machine=machine_and_runtimes(),
                of_peak=subject.work(side, batch) / possible,
                done_of_peak=subject.work_done(side, batch) / possible if name == "ours" else None,
            )
        )
    return results


def write_all(output: Path, results: Sequence[Result], names: Sequence[str], note: str) -> None:
    """All three files, as far as there are results."""
    present = [name for name in names if any(each.implementation == name for each in results)]
    write(output, table_lines(results, present), note, csv_lines(results))
    try:
        plot(results, present, output.with_suffix(".png"))
    except ImportError as error:
        print(f"{output.with_suffix('.png')} is left out: it needs {error.name}: pip install 'vgg-zoo[benchmarks]'")


def note(results: Sequence[Result], missing: Mapping[str, str]) -> str:
    """What stands below the table."""
    low, high = (f"{of(each.peak for each in results) / 1e9:.0f}" for of in (min, max))
    text = (
        "Seconds a pass, medians; in brackets ÷ ours. "
        "Of the peak: multiplications of a direct convolution ÷ time ÷ those of a large matrix product here, "
        f"{low if low == high else f'{low} to {high}'} billion a second; really done: those that ours does. "
        f"Outputs differ by at most {max(each.difference for each in results):.0e} of the largest score. "
        f"On: {results[-1].machine}."
    )
    return "\n\n".join([text, *(f"{name} is left out: it {why}." for name, why in missing.items())])


def machine_and_runtimes() -> str:
    """What the figures were measured on, and with which versions."""
    found = [machine()]
    for package in ("onnxruntime", "openvino"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def others(args: argparse.Namespace) -> list[Result]:
    """With `--add`, what OUTPUT.csv has of this machine and these versions."""
    path, here = args.output.with_suffix(".csv"), machine_and_runtimes()
    found = read_csv(path) if args.add and path.is_file() else []
    strange = {each.machine for each in found} - {here}
    for each in sorted(strange):
        print(f"left out of {path}, as it was measured on another machine or with other versions: {each}")
    return [each for each in found if each.machine == here]


def rows_of(net: str, args: argparse.Namespace, peak: float, missing: dict[str, str]) -> Iterator[list[Result]]:
    """The results of a net, one shape after the other; at the end all of its implementations are released."""
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(net, Path(folder), args.threads)
        prepared = built(subject, args, missing)
        for side in args.sides:
            for batch in args.batches:
                yield row(subject, prepared, side, batch, args, peak)


def measure(args: argparse.Namespace) -> None:
    """The table of speeds."""
    peak, results, before = matrix_product_peak(), list[Result](), others(args)
    missing: dict[str, str] = {}
    for net in args.nets:
        for found in rows_of(net, args, peak, missing):
            results += found
            together = with_others(results, before, list(NETS))
            write_all(args.output, together, list(BUILDERS), note(together, missing))
            print(markdown(table_lines(found, args.implementations)).splitlines()[-1], flush=True)
    print(f"\n{args.output.with_suffix('.md').read_text()}")


MEMORY_OF: dict[str, Callable[[str], Callable[[Tensor], Tensor]]] = {
    "ours": lambda net: vgg_zoo.fast_inference(zoos_net(net).eval()),
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
    """The table of peak memory, of ours beside the plain net and timm's, each in a process of its own."""
    lines = []
    for net, side, batch in MEMORY_CASES:
        peaks = {}
        for name in MEMORY_OF:
            case = [name, net, str(side), str(batch)]
            peaks[name] = in_own_process("benchmarks.cpu", "--threads", str(args.threads), "--memory-of", *case)
        found = peaks["ours"] / peaks["timm"]
        lines.append(
            {"net": net, "image": str(side), "batch": str(batch)}
            | {f"{name} (GB)": f"{peak:.2f}" for name, peak in peaks.items()}
            | {"ours ÷ timm": f"{found:.2f}", "goal": "met" if found <= MEMORY_GOAL else "not met"}
        )
    text = f"Peak memory of a process, weights and libraries included; the goal is at most {MEMORY_GOAL} times timm's"
    save(args.output.with_name(f"{args.output.name}_memory"), lines, f"{text}. On: {machine()}.")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = command_parser(__doc__)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--sides", nargs="+", type=int, default=[224, 384, 512], help="of the images, in pixels")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--implementations", nargs="+", choices=list(BUILDERS), default=list(BUILDERS))
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
        "--output", type=Path, default=Path("benchmarks/results/cpu"), help=".md, .csv and .png are added"
    )
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
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
    measure(args)
    if not args.no_memory:
        memory(args)


main = command(run, options)

if __name__ == "__main__":
    sys.exit(main())
