"""One run of every command that succeeds, with what it prints.

The commands run in one temporary folder, recipes first: the others use what these leave. Beside that, the folder holds
digits of scikit-learn as photos, an untrained net that predicts boxes, and a copy of the lock file. The Hub is the one
of the tests, on this machine, so that `python -m hub publish` publishes.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks.command_lines import COMMANDS, ask
from benchmarks.timing import ROOT
from hub.repository.names import package_lock
from recipes.data.splits import load_splits
from tests.hub.commands import TOKEN, make_hub
from tests.hub.local_hub import environment
from tests.hub.nets import make_run

MOST_LINES = 12
"""Longer outputs are shown by half as many lines from both ends."""


class Success(NamedTuple):
    """How a run ended."""

    code: int
    seconds: float
    printed: list[str]


def prepare(folder: Path) -> None:
    """Make what the commands read: three photos of each kind, an untrained net that predicts boxes, a lock file."""
    for kind in ("digits", "pasted_digits"):
        place = folder / "photos" / kind
        place.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(load_splits(kind)[1].pixels(number)).save(place / f"{number}.png")
    make_run(folder / "runs" / "boxes", "vgg_a_box", regression="scr")
    shutil.copy(package_lock(), folder / "lock.json")  # the package's own would be written otherwise


def shown(output: str, folder: Path) -> list[str]:
    """The lines that a terminal shows in the end, without paths of this machine; of a long output its two ends."""
    for path, name in ((folder, "."), (folder.parent, ".."), (sys.executable, "python"), (ROOT, ".")):
        output = output.replace(str(path), name)
    lines = [line.rpartition("\r")[2].rstrip() for line in output.strip().split("\n")]
    half = MOST_LINES // 2
    return [*lines[:half], "[more lines]", *lines[-half:]] if len(lines) > MOST_LINES + 1 else lines


def successes(commands: Iterable[str]) -> dict[str, Success]:
    """Run commands with what follows them in `COMMANDS`."""
    found = {}
    with tempfile.TemporaryDirectory() as name, make_hub(Path(name) / "hub") as hub:
        folder = Path(name).resolve() / "work"
        prepare(folder)
        given = environment(hub, folder.parent / "home", TOKEN, PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES="")
        for command in sorted(commands, key=lambda command: not command.startswith("recipes/")):
            start = time.perf_counter()
            done = ask(command, COMMANDS[command].success, folder, given, mixed=True)
            seconds = time.perf_counter() - start
            found[command] = Success(done.returncode, seconds, shown(done.stdout, folder))
            print(f"{command}: exit code {done.returncode} after {seconds:.0f} s", flush=True)
    return found
