"""How the results of `benchmarks.cpu` are measured: each implementation alone in a process, and all of them in turn."""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.bound import Rates, work_of
from benchmarks.cpu_table import Result
from benchmarks.implementations import IMPLEMENTATIONS, NotHereError, Prepare, Subject, has, scores
from benchmarks.situations import ALONE, alone
from benchmarks.timing import (
    in_own_process,
    interleaved,
    machine,
)

OURS = ("ours", "ours, bf16")
MOST_DIFFERENCE = {True: 1e-3, False: 0.1}
"""Of class scores, relative to the largest, in float32 and where bfloat16 is allowed: beyond it, it is another net."""


def machine_and_runtimes() -> str:
    """What the figures were measured on, and with which versions."""
    found = [machine()]
    for package in ("onnxruntime", "openvino"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


class Case:
    """Images of one shape, and what the plain net computes for them.

    Args:
        folder: Of this net, for its class scores.
        side: In pixels.
        batch: How many images.
    """

    def __init__(self, folder: Path, side: int, batch: int) -> None:
        self.side, self.batch = side, batch
        self.images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
        self._scores = folder / f"{side}_{batch}.pt"

    def compute(self, subject: Subject) -> None:
        """The reference, for this process and others."""
        torch.save(scores(subject.net, self.images), self._scores)

    def difference(self, name: str, output: Tensor) -> float:
        """How far an implementation's class scores are from the reference, over the largest of them.

        Raises:
            RuntimeError: Further than rounding explains: another net.
        """
        reference = torch.load(self._scores)
        found = float("inf")
        if output.shape == reference.shape:
            found = float((output - reference).abs().max() / reference.abs().max())
        if not found < MOST_DIFFERENCE[IMPLEMENTATIONS[name].float32]:
            what = f"{self.batch} × {self.side} × {self.side}"
            raise RuntimeError(f"{name} computes something else than the plain net for {what}: it differs by {found}")
        return found


def cases(folder: Path, args: argparse.Namespace) -> list[Case]:
    """All shapes."""
    return [Case(folder, side, batch) for side, batch in product(args.sides, args.batches)]


def time_alone(name: str, net: str, folder: Path, args: argparse.Namespace) -> None:
    """Print an implementation's times, as JSON, in a process of its own: of every shape, in every situation alone.

    It prints why instead, where it cannot run here.
    """
    subject = Subject(net, folder, args.threads)
    most_seconds = args.most_seconds / len(IMPLEMENTATIONS)
    found: list[dict[str, Any]] = []
    try:
        prepare = IMPLEMENTATIONS[name].build(subject)
        for case in cases(folder, args):
            if not has(name, net, case.side):
                continue
            run = prepare(case.images)
            difference = case.difference(name, run())
            run()
            for situation in args.situations:
                seconds = alone(situation, run, args.rounds, most_seconds)
                shape = {"side": case.side, "batch": case.batch, "situation": situation}
                found.append(shape | {"seconds": seconds, "difference": difference})
    except NotHereError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps(found))


class Measurement:
    """The results of one net, implementation after implementation.

    Args:
        subject: The net; its folder has what other processes read.
        args: The command line.
        rates: The machine's.
        missing: Why implementations cannot run here, by name; more is added.
    """

    def __init__(self, subject: Subject, args: argparse.Namespace, rates: Rates, missing: dict[str, str]) -> None:
        self._subject, self._args, self._rates, self._missing = subject, args, rates, missing
        self._cases = cases(subject.folder, args)

    def results(self) -> Iterator[list[Result]]:
        """Step by step: an implementation alone, or all in turn on images of one shape."""
        for case in self._cases:
            case.compute(self._subject)
        situations = [each for each in self._args.situations if each in ALONE]
        for name in self._names() if situations else []:
            yield self._alone(name, situations)
        if "alternating" in self._args.situations:
            prepared = self._built()
            for case in self._cases:
                yield self._alternating(case, prepared)

    def _names(self) -> list[str]:
        """Those that have this net and can run here."""
        net, sides = self._subject.name, self._args.sides
        names = [name for name in self._args.implementations if any(has(name, net, side) for side in sides)]
        return [name for name in names if name not in self._missing]

    def _lacks(self, name: str, why: str) -> None:
        self._missing[name] = why
        print(f"{name} is left out: it {why}", flush=True)

    def _alone(self, name: str, situations: list[str]) -> list[Result]:
        args = self._args
        shapes = ["--sides", *map(str, args.sides), "--batches", *map(str, args.batches)]
        limits = ["--rounds", args.rounds, "--most-seconds", args.most_seconds, "--threads", args.threads]
        what = ["--time-alone", name, self._subject.name, self._subject.folder, "--situations", *situations]
        found = in_own_process("benchmarks.cpu", *shapes, *map(str, limits), *map(str, what))
        if name in OURS:
            self._rates = self._rates.or_now()  # as the machine was when it computed ours
        if isinstance(found, str):
            self._lacks(name, found)
            return []
        return [self._result(name, **each) for each in found]

    def _built(self) -> dict[str, Prepare]:
        """The implementations that may share a process."""
        found = {}
        for name in self._names():
            if IMPLEMENTATIONS[name].shares:
                try:
                    found[name] = IMPLEMENTATIONS[name].build(self._subject)
                except NotHereError as error:
                    self._lacks(name, str(error))
        return found

    def _alternating(self, case: Case, prepared: Mapping[str, Prepare]) -> list[Result]:
        here = {name: prepare for name, prepare in prepared.items() if has(name, self._subject.name, case.side)}
        runs = {name: prepare(case.images) for name, prepare in here.items()}
        differences = {name: case.difference(name, run()) for name, run in runs.items()}
        shape: dict[str, Any] = {"side": case.side, "batch": case.batch, "situation": "alternating"}
        times = interleaved(runs, self._args.rounds, self._args.most_seconds)
        return [self._result(name, **shape, seconds=times[name], difference=differences[name]) for name in runs]

    def _result(self, name: str, *, seconds: list[float], side: int, batch: int, **more: Any) -> Result:
        median, rates = statistics.median(seconds), self._rates
        bound = None
        if name in OURS:
            fast = self._subject.fast if name == "ours" else self._subject.fast_bf16
            bound = work_of(fast, side, side, batch).least_seconds(rates) / median
        return Result(
            net=self._subject.name,
            side=side,
            batch=batch,
            implementation=name,
            seconds=median,
            rounds=len(seconds),
            machine=machine_and_runtimes(),
            peak=rates.peak,
            peak_bf16=rates.peak_bf16,
            bandwidth=rates.bandwidth,
            of_bound=bound,
            **more,
        )
