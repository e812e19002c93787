"""The sections of `benchmarks.gpu` by name, each run in a process of its own for no longer than its limit."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.card.report import FAILED, Line, Report, Setting, read
from benchmarks.card.trainings import ROOT, last_words

CPU_PATIENCE = 4
"""Times a section's limit, on a CPU."""

CORES = 4
"""That a section which is not timed has for itself, where there are so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A function of a module, by name, because a section that fails to import is one that fails.

    Attributes:
        module: In benchmarks.card.
        limit: Seconds on a GPU.
        timed: Runs alone; the others run side by side.
    """

    module: str
    limit: float
    timed: bool = True


SECTIONS = {
    "versions": Section(module="versions", limit=40),
    "fp64": Section(module="correctness", limit=75, timed=False),
    "ranks": Section(module="correctness", limit=75, timed=False),
    "resume": Section(module="correctness", limit=120, timed=False),
    "launched": Section(module="correctness", limit=120, timed=False),
    "precision": Section(module="steps", limit=60),
    "step": Section(module="steps", limit=200),
    "files": Section(module="steps", limit=75),
    "dense": Section(module="evaluations", limit=75),
    "fc7": Section(module="evaluations", limit=60),
}
"""In the order in which they are shown; each is the function of the same name."""


def run_here(name: str, setting: Setting, file: Path) -> None:
    """A section in this process; its lines go to the file."""
    getattr(import_module(f"benchmarks.card.{SECTIONS[name].module}"), name)(Report(name, setting, file))


def run_apart(name: str, setting: Setting) -> list[Line]:
    """A section in a process of its own; one that fails, hangs or is killed ends in a line that says so."""
    limit = SECTIONS[name].limit * (1 if setting.gpu else CPU_PATIENCE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines"
        command = [sys.executable, "-m", "benchmarks.gpu", "--only", name, "--device", setting.device]
        command += ["--lines", str(file), *["--small"] * setting.small]
        begun, error = time.perf_counter(), (Path(folder) / "stderr").open("w+")
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=error, text=True, start_new_session=True
        )
        with error:
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
            error.seek(0)
            said = last_words(error.read())
        lines = read(file)
        if code != 0:
            why = f"not over after {limit:.0f} s" if code is None else f"code {code}: {said}"
            lines.append(Line(section=name, what="the section", verdict=FAILED + why))
        elif not lines:
            lines.append(Line(section=name, what="the section", verdict=f"{FAILED}it found nothing"))
        taken = time.perf_counter() - begun
        return [*lines, Line(section=name, what="time", measured=f"{taken:.0f} s", value=taken)]


def run_all(names: Sequence[str], setting: Setting) -> list[Line]:
    """Those that are timed alone, in turn; the others side by side, behind them."""
    found = {}
    for name in names:
        if SECTIONS[name].timed:
            found[name] = _said(run_apart(name, setting))
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // CORES)) as pool:
        rest = {name: pool.submit(run_apart, name, setting) for name in names if name not in found}
        for name, coming in rest.items():
            found[name] = _said(coming.result())
    return [line for name in names for line in found[name]]


def _said(lines: list[Line]) -> list[Line]:
    """The same, printed."""
    for line in lines:
        print(" | ".join(filter(None, (line.section, line.what, line.measured, line.goal, line.verdict))), flush=True)
    return lines


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a session, and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
