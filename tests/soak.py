"""Jobs that are killed, stopped and suspended at random, and must end bit-identical to undisturbed ones.

    python -m tests.soak [--minutes 10] [--seed 0]

A job is a training, an evaluation or an extraction of features, in 1, 2 or 3 processes with workers that load images.
At random moments a random process of it gets SIGKILL, SIGTERM, or SIGSTOP and later SIGCONT; if that ends the job, the
same command is given again. After some of these it runs to its end. Prints what was survived, by job and by signal.
"""

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from safetensors import safe_open

from tests.forked import Forked, start_ranks
from tests.recipes.commands import ENVIRONMENT, Command, command, train_command

DISTURBANCES = 10
"""Of each job."""

LATEST = 4.0
"""Seconds after a job's start, at the most, at which it is disturbed; some end before."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
ENDS_BY = {signal.SIGKILL: "killed", signal.SIGTERM: "stopped", signal.SIGSTOP: "suspended"}


class NotTheSameError(Exception):
    """A disturbed job ended otherwise than an undisturbed one."""


@dataclass
class Job:
    """A command in so many processes, and its output folder.

    Attributes:
        command: To be given again and again.
        output: Its folder.
        ranks: The processes that run, or ran last.
    """

    command: Command
    output: Path
    ranks: list[Forked] = field(default_factory=list)

    def start(self) -> None:
        """Start its processes, as torchrun would."""
        self.ranks = start_ranks(self.command.words, self.command.processes, environment=ENVIRONMENT)

    def processes(self) -> list[psutil.Process]:
        """All that run: the ranks and the workers that load images for them."""
        found = []
        for rank in self.ranks:
            if rank.poll() is None:
                try:
                    process = psutil.Process(rank.pid)
                    found += [process, *process.children(recursive=True)]
                except psutil.NoSuchProcess:
                    continue
        return found

    def wait(self, seconds: float) -> list[int]:
        """The ranks' exit codes, when all have ended; where one fails, the others are asked to stop, as by torchrun."""
        deadline = time.monotonic() + seconds
        while any(rank.poll() is None for rank in self.ranks):
            if time.monotonic() > deadline:
                raise NotTheSameError(f"{self.output.name} did not end in {seconds:.0f} s:\n{self.said()}")
            if any(rank.poll() for rank in self.ranks):
                for rank in self.ranks:
                    rank.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        return [rank.wait() for rank in self.ranks]

    def said(self) -> str:
        """The last words of each rank."""
        return "\n".join(rank.done().stderr[-1500:] for rank in self.ranks if rank.poll() is not None)

    @cached_property
    def result(self) -> Any:
        """What must be the same, bit for bit; of a job that has come to its end."""
        results = json.loads((self.output / "results.json").read_text())
        files = sorted(
            path.relative_to(self.output)
            for path in self.output.rglob("*.safetensors")
            if "checkpoints" not in path.parts
        )
        hidden = [path.name for path in self.output.rglob(".*")]
        return {
            "results": results.get("results"),
            "files": {str(name): _content(self.output / name) for name in files},
            "left behind": hidden,
        }


def _content(file: Path) -> Any:
    """A hash of each tensor, and the metadata, which safetensors writes in a random order."""
    with safe_open(file, "pt") as opened:
        tensors = {
            name: hashlib.sha256(opened.get_tensor(name).numpy().tobytes()).hexdigest()
            for name in sorted(opened.keys())
        }
        return tensors, opened.metadata()


def job_of(folder: Path, net: Path, name: str, processes: int, number: int) -> Job:
    """The job of this name in so many processes, with a folder of its own."""
    output = folder / f"{name}-{processes}-{number}"
    fixed = ["--output", output, "--precision", "fp64", "--workers", 1]
    tested = ["--model", net, "--data", "digits", *fixed]
    asked = {
        "train": lambda: train_command(*fixed[1:], "--checkpoint-every", 5, processes=processes),
        "evaluate": lambda: command("evaluate", *tested, "--protocol", "multi_crop_and_dense", processes=processes),
        "extract_features": lambda: command("extract_features", *tested, "--training", processes=processes),
    }
    return Job(asked[name](), output)


def disturb(job: Job, chance: random.Random) -> signal.Signals | None:
    """Wait for a random moment and send a random signal to a random process; None if the job had ended before."""
    end = time.monotonic() + chance.uniform(0, LATEST)
    while time.monotonic() < end:
        if not job.processes():
            return None
        time.sleep(0.005)
    there = job.processes()
    if not there:
        return None
    process, number = chance.choice(there), chance.choice(SIGNALS)
    try:
        process.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(chance.uniform(0.05, 1))
            process.send_signal(signal.SIGCONT)
    except psutil.NoSuchProcess:
        return None
    return number


def survive(job: Job, expected: Any, chance: random.Random) -> Counter[str]:
    """Disturb a job again and again, let it end, and compare; what it survived.

    Raises:
        NotTheSameError: It ended otherwise, or not at all.
    """
    survived: Counter[str] = Counter()
    job.start()
    for _ in range(DISTURBANCES):
        number = disturb(job, chance)
        if number is None:
            break
        survived[ENDS_BY[number]] += 1
        if number != signal.SIGSTOP:
            job.wait(120)
            job.start()
    codes = job.wait(300)
    if any(codes):
        job.start()  # a suspended process, or a worker, may have ended it
        codes = job.wait(300)
    if any(codes):
        raise NotTheSameError(f"{job.output.name} ended with {codes} when it was left alone:\n{job.said()}")
    if job.result != expected:
        raise NotTheSameError(f"{job.output.name} after {dict(survived)}:\n{job.result}\nin place of\n{expected}")
    return survived


def soak(minutes: float, seed: int, names: Sequence[str], most_processes: int = 3) -> Counter[str]:
    """Jobs of all kinds in turn until the time is over; what they survived, by kind and signal.

    Raises:
        NotTheSameError: One did not.
    """
    chance, survived = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        trained = job_of(folder, folder, "train", 1, 0)
        expected = {}
        deadline = None
        for number in range(1, 1_000_000):
            for name in names:
                for processes in range(1, most_processes + 1):
                    if (name, processes) not in expected:
                        whole = job_of(folder, trained.output, name, processes, 0)
                        whole.start()
                        assert not any(whole.wait(300)), whole.said()
                        expected[name, processes] = whole.result
                        continue
                    deadline = deadline or time.monotonic() + 60 * minutes
                    if time.monotonic() > deadline:
                        return survived
                    job = job_of(folder, trained.output, name, processes, number)
                    for what, count in survive(job, expected[name, processes], chance).items():
                        survived[f"{name} in {processes} process(es), {what}"] += count
                        survived["all"] += count
                    print(f"{survived['all']} survived, the last by {job.output.name}", flush=True)
    raise AssertionError


def main() -> int:
    """Soak, and print what was survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="beside those of the undisturbed jobs")
    parser.add_argument("--seed", type=int, default=0, help="of moments, processes and signals")
    args = parser.parse_args()
    try:
        survived = soak(args.minutes, args.seed, ("train", "evaluate", "extract_features"))
    except NotTheSameError as error:
        print(error, file=sys.stderr)
        return 1
    for what, count in sorted(survived.items()):
        print(f"{count:4}  {what}")
    print(f"{survived['all']} of {survived['all']} survived, bit-identical")
    return 0


if __name__ == "__main__":
    sys.exit(main())
