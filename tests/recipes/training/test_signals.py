"""Whatever process of a job is asked to stop: one checkpoint, all processes end, and the same command resumes."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.forked import ROOT
from tests.recipes.commands import ENVIRONMENT, succeed, train_command

TERM, USR1, INT = signal.SIGTERM, signal.SIGUSR1, signal.SIGINT
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch"]
LAUNCHERS: dict[str, list[str]] = {
    "python": [sys.executable],
    "accelerate, 1 process": [*ACCELERATE, "--num_processes", "1", "--num_machines", "1"],
    "accelerate, 2 processes": [*ACCELERATE, "--multi_gpu", "--num_processes", "2", "--num_machines", "1"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "recipes/launch.py": [sys.executable, "recipes/launch.py", "--nproc-per-node", "2"],
}


def start(launcher: str, output: Path, *options: Any) -> subprocess.Popen[str]:
    """A training with workers, in a session of its own, as a user or a scheduler starts it."""
    words = train_command(output, "--precision", "fp64", "--workers", 1, *options).words
    environment = dict(ENVIRONMENT)
    if "accelerate" not in launcher:
        del environment["ACCELERATE_USE_CPU"]  # torchrun needs no word on the CPU
    port = ["--main_process_port", "0"] if "accelerate, 2" in launcher else []
    return subprocess.Popen(
        [*LAUNCHERS[launcher], *port, *words],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(job: subprocess.Popen[str]) -> list[psutil.Process]:
    """The first process of a job, and all that it started."""
    first = psutil.Process(job.pid)
    return [first, *first.children(recursive=True)]


def wait_for_a_step(job: subprocess.Popen[str], output: Path) -> None:
    """Until a checkpoint is there."""
    deadline = time.monotonic() + 300
    while not list((output / "checkpoints").glob("step-*")):
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(number: signal.Signals, to: list[psutil.Process]) -> None:
    """The same signal to each, the first one first."""
    for process in to:
        if process.is_running():
            process.send_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "number", "to", "code"),
    [
        ("python", TERM, "all", 143),
        ("python", INT, "all", 130),
        ("python", USR1, "worker", 143),
        ("accelerate, 1 process", TERM, "first", 143),
        ("accelerate, 1 process", USR1, "trainer", 143),
        ("accelerate, 1 process", INT, "all", 130),
        # torchrun's own codes, which nothing that it starts can change.
        ("accelerate, 2 processes", TERM, "first", 1),
        ("accelerate, 2 processes", USR1, "all", 138),
        ("torchrun", TERM, "all", 1),
        ("recipes/launch.py", TERM, "first", 143),
        ("recipes/launch.py", TERM, "all", 143),
        ("recipes/launch.py", TERM, "trainer", 143),
        ("recipes/launch.py", USR1, "all", 143),
        ("recipes/launch.py", INT, "all", 130),
    ],
)
def test_a_signal_ends_the_job_after_a_checkpoint(
    launcher: str, number: signal.Signals, to: str, code: int, tmp_path: Path
) -> None:
    """To the first process, to one that trains or loads images, or to all at once."""
    output = tmp_path / "run"
    job = start(launcher, output, "--checkpoint-every", 5)
    wait_for_a_step(job, output)
    processes = processes_of(job)
    scripts = [one for one in processes if "recipes/train.py" in one.cmdline()[1:3]]  # -u may stand before it
    workers = [one for one in scripts if one.ppid() in {script.pid for script in scripts}]
    trainers = [one for one in scripts if one not in workers]
    send(number, {"all": processes, "first": processes[:1], "trainer": trainers[-1:], "worker": workers[:1]}[to])
    said = job.communicate(timeout=60)[0]
    assert psutil.wait_procs(processes, timeout=30)[1] == []
    assert (job.returncode if job.returncode >= 0 else 128 - job.returncode) == code, said  # as a shell has it
    assert_resumes(output, said, ["--checkpoint-every", 5])


def assert_resumes(output: Path, said: str, options: list[Any]) -> None:
    """One checkpoint was written at the step that was named, nothing is left behind, and the run resumes there."""
    steps = {line.split()[3].rstrip(";") for line in said.splitlines() if line.startswith("stopped at step ")}
    assert len(steps) == 1, said
    assert f"step-{int(*steps):08}" == max(path.name for path in (output / "checkpoints").iterdir())
    assert not list(output.rglob(".*"))
    done = succeed(train_command(output, "--precision", "fp64", *options))
    assert f"resumes from step {int(*steps)}" in done.stdout
