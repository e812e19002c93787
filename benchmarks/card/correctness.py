"""Sections of `benchmarks.gpu` that say whether a training on this device is right. Nothing here is timed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks.card.report import FAILED, NOT_RUN, PASSED, Report
from benchmarks.card.trainings import ROOT, STEPS, TORCHRUN, Trainings, last_words

WEIGHTS = "model.safetensors"


@contextmanager
def _trainings(report: Report) -> Iterator[Trainings]:
    with tempfile.TemporaryDirectory() as folder:
        yield Trainings(Path(folder), report.setting.gpu)


def _side_by_side() -> int:
    return max(2, min(4, (os.cpu_count() or 1) // 4))


def difference(one: Path, other: Path) -> float:
    """The largest between the weights of two runs; NaN where either is no number."""
    mine, theirs = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    return float(np.max([np.abs(mine[name] - theirs[name]).max() for name in mine]))


def _digest(run: Path) -> str:
    return sha256((run / WEIGHTS).read_bytes()).hexdigest()[:12]


def fp64(report: Report) -> None:
    """The same training on the CPU and on the GPU, in fp64; on a CPU, in NCHW and in NHWC."""
    with _trainings(report) as trainings, ThreadPoolExecutor(2) as pool:
        options = ("--precision", "fp64", "--max-steps", str(STEPS))
        there = () if report.setting.gpu else ("--channels-last",)
        cpu = pool.submit(trainings.train, "cpu", *options, gpu=False)
        device = pool.submit(trainings.train, "device", *options, *there)
        what = "CPU and CUDA" if report.setting.gpu else "CPU, NCHW and NHWC"
        report.bound(f"{what}: weights after {STEPS} steps", difference(cpu.result(), device.result()), 1e-10)


def ranks(report: Report) -> None:
    """Two ranks that share the device, by gloo, and one, in fp64."""
    with _trainings(report) as trainings:
        options = ("--precision", "fp64", "--max-steps", str(STEPS))
        one = trainings.train("one", *options)
        shared = ("-m", "benchmarks.card.one_card")
        two = trainings.train("two", *options, launcher=(*TORCHRUN, "2"), script=shared)
        processes = (two / "results.json").read_text().count('"processes": 2')
        report.same("processes that trained", 1 + processes, 2)
        report.bound(f"one and two ranks: weights after {STEPS} steps", difference(one, two), 1e-12)
        trainings.train("hook", "--bf16-gradients", "--max-steps", "4", launcher=(*TORCHRUN, "2"), script=shared)
        report.add("two ranks, --bf16-gradients", "4 steps", value=4, verdict=PASSED)


def resume(report: Report) -> None:
    """Six steps against three and three, bit by bit; and net A-LRN, whose normalisation has a backward of its own."""
    cases = [(precision, layout) for precision in ("fp32", "bf16") for layout in ((), ("--channels-last",))]
    if report.setting.small:
        cases = cases[-1:]

    def tried(trainings: Trainings, precision: str, layout: tuple[str, ...]) -> None:
        name = f"{precision}, {'NHWC' if layout else 'NCHW'}"
        options = ("--deterministic", "--precision", precision, *layout, "--max-steps")
        try:
            whole = trainings.train(f"{name} whole", *options, "6")
            trainings.train(f"{name} parts", *options, "3")
            parts = trainings.train(f"{name} parts", *options, "6")
            report.same(f"{name}: 6 steps and 3 + 3", _digest(whole), _digest(parts))
        except RuntimeError as error:
            report.add(f"{name}: 6 steps and 3 + 3", verdict=f"{FAILED}{error}")

    def normalised(trainings: Trainings) -> None:
        try:
            trainings.train("lrn", "--deterministic", "--max-steps", "3", model="vgg_a_lrn")
            report.add("A-LRN with --deterministic", "3 steps", value=3, verdict=PASSED)
        except RuntimeError as error:
            report.add("A-LRN with --deterministic", verdict=f"{FAILED}{error}")

    with _trainings(report) as trainings, ThreadPoolExecutor(_side_by_side()) as pool:
        asked = [pool.submit(tried, trainings, *case) for case in cases]
        for one in [*asked, pool.submit(normalised, trainings)]:
            one.result()


COMPILED = ("--compile",)
LAUNCHED = (("--device-batch", "4"), ("--precision", "bf16"), ("--bf16-gradients",), COMPILED)
"""Options that are tried one by one under torchrun."""


def launched(report: Report) -> None:
    """torchrun with one process (NCCL; on a CPU gloo) and each of these options, DDP in one rank, and a SIGTERM."""

    def tried(trainings: Trainings, options: tuple[str, ...]) -> None:
        what = f"torchrun, {' '.join(options)}"
        if options == COMPILED and not report.setting.gpu:
            report.add(what, verdict=f"{NOT_RUN}the C++ that it writes for a CPU is compiled for minutes")
            return
        try:
            run = "_".join(options).replace("-", "")
            trainings.train(run, *options, "--max-steps", "4", launcher=(*TORCHRUN, "1", "--standalone"))
            report.add(what, "4 steps", value=4, verdict=PASSED)
        except RuntimeError as error:
            report.add(what, verdict=f"{FAILED}{error}")

    with _trainings(report) as trainings, ThreadPoolExecutor(_side_by_side()) as pool:
        asked = [pool.submit(tried, trainings, options) for options in LAUNCHED]
        for one in [*asked, pool.submit(_stopped, report, trainings), pool.submit(_one_rank, report, trainings)]:
            one.result()


def _one_rank(report: Report, trainings: Trainings) -> None:
    """DDP, which Accelerate leaves out where there is one process."""
    words = [*TORCHRUN, "1", "--standalone", "-m", "benchmarks.card.one_rank", "--device", report.setting.device]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=trainings.environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    backend = "NCCL" if report.setting.gpu else "gloo"
    if done.returncode:
        report.add(f"DDP in one rank, {backend}", verdict=f"{FAILED}{last_words(done.stderr)}")
        return
    found = json.loads(done.stdout.splitlines()[-1])
    report.bound(f"DDP in one rank, {backend}: gradients' relative error", found["plain"], 1e-5)
    report.bound(f"the same with the bf16 hook of --bf16-gradients, {backend}", found["bf16"], 2**-8)


def _stopped(report: Report, trainings: Trainings, patience: float = 90.0) -> None:
    """SIGTERM to the launcher, once the training has written a checkpoint."""
    what, options = "recipes/launch.py, SIGTERM", ("--checkpoint-every", "1")
    launcher = ("recipes/launch.py", "--nproc-per-node", "1", "--standalone")
    command = trainings.command("stopped", *options, epochs=10_000, launcher=launcher)
    # In the section's own group, so that nothing outlives it; the trainer is asked to stop when its launcher ends.
    process = subprocess.Popen(
        command, cwd=ROOT, env=trainings.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + patience
        checkpoints = trainings.folder / "stopped" / "checkpoints"
        while process.poll() is None and time.monotonic() < until and not list(checkpoints.glob("step-*")):
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        report.add(what, verdict=f"{FAILED}it did not end in {patience:.0f} s")
        return
    finally:
        process.kill()
    verdict = PASSED if process.returncode == 143 else f"{FAILED}{last_words(said)}"
    report.add(what, f"exit code {process.returncode}", value=process.returncode, goal="143", verdict=verdict)
