"""Runs that are killed, stopped and damaged, and resume as if nothing had been."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.forked import ROOT, Forked
from tests.recipes import commands
from tests.recipes.commands import ENVIRONMENT, run, succeed, train_command
from vgg_zoo.weights.files import file_digest

EVERY_STEP: list[Any] = ["--checkpoint-every", 1]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    output = tmp_path_factory.mktemp("whole") / "run"
    succeed(train_command(output, "--precision", "fp64"))
    return output


def start_two(output: Path) -> subprocess.Popen[bytes]:
    """A run of two processes in a process group of its own, by Accelerate's launcher."""
    line = train_command(output, "--precision", "fp64", *EVERY_STEP, processes=2).line
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(line, cwd=ROOT, env=ENVIRONMENT, start_new_session=True, **quiet)


def steps(output: Path) -> set[str]:
    """Names of its whole checkpoints."""
    return {path.name for path in (output / "checkpoints").glob("step-*")}


def wait_for_progress(output: Path, process: subprocess.Popen[bytes] | Forked, before: set[str]) -> None:
    """Until a checkpoint is there that was not there before."""
    deadline = time.monotonic() + 120
    while not steps(output) - before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, "the run ended before it could be killed"
    assert steps(output) - before


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the launcher, at whose end all that it started is asked to stop."""
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def epochs(output: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with (output / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_kills_change_no_bit(uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, with a checkpoint in every step: the same weights, metrics and errors."""
    output, kills = tmp_path / "run", 3
    moments = random.Random(3)
    killed_at = []
    for _ in range(kills):
        process = commands.start(train_command(output, "--precision", "fp64", *EVERY_STEP))
        wait_for_progress(output, process, steps(output))
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        killed_at.append(max(steps(output)))
    assert len(set(killed_at)) == kills
    done = succeed(train_command(output, "--precision", "fp64", *EVERY_STEP))
    assert f"resumes from step {int(killed_at[-1].removeprefix('step-'))}" in done.stdout

    assert file_digest(output / "model.safetensors") == file_digest(uninterrupted / "model.safetensors")
    assert epochs(output) == epochs(uninterrupted)
    results, expected = (json.loads((path / "results.json").read_text()) for path in (output, uninterrupted))
    assert results["results"] == expected["results"]
    assert results["finished"] is expected["finished"] is True
    assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []
    assert [path.name for path in (output / "checkpoints").iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(uninterrupted: Path, tmp_path: Path) -> None:
    """Begun by two processes, killed, continued by one: the weights of the uninterrupted run, to rounding."""
    output = tmp_path / "run"
    process = start_two(output)
    wait_for_progress(output, process, set())
    time.sleep(0.3)
    kill(process)
    succeed(train_command(output, "--precision", "fp64"))
    weights, expected = (load_file(path / "model.safetensors") for path in (output, uninterrupted))
    assert max((weights[key] - expected[key]).abs().max().item() for key in expected) <= 1e-12


@pytest.mark.slow
def test_sigterm_to_one_process_stops_all_after_a_checkpoint(tmp_path: Path) -> None:
    """All ranks agree on the step; nothing is lost, and the launcher ends with an error."""
    output = tmp_path / "run"
    process = start_two(output)
    wait_for_progress(output, process, set())
    ranks = [child for child in psutil.Process(process.pid).children() if "recipes/train.py" in child.cmdline()]
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert not (output / "results.json").exists()
    done = succeed(train_command(output, "--precision", "fp64", "--max-steps", 60, processes=1))
    assert "resumes from step" in done.stdout


@pytest.mark.slow
def test_a_stopped_run_says_how_to_go_on(tmp_path: Path) -> None:
    """SIGTERM to a single process: exit code 143, and a checkpoint of the step it was at."""
    output = tmp_path / "run"
    process = commands.start(train_command(output, "--precision", "fp64", "--checkpoint-every", 5))
    wait_for_progress(output, process, set())
    process.send_signal(signal.SIGTERM)
    done = process.done(timeout=60)
    assert done.returncode == 143
    step = int(max(steps(output)).removeprefix("step-"))
    assert f"stopped at step {step}; the same command resumes from there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    """A flipped byte, a missing file, an empty folder: the run resumes from the newest whole one, and says so."""
    output = tmp_path / "run"
    succeed(train_command(output, "--max-steps", 8, "--checkpoint-every", 2, "--keep-last", 4))
    folders = sorted((output / "checkpoints").glob("step-*"))
    assert [folder.name[-2:] for folder in folders] == ["02", "04", "06", "08"]
    weights = bytearray((folders[3] / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folders[3] / "model.safetensors").write_bytes(weights)
    (folders[2] / "momentum.safetensors").unlink()
    (output / "checkpoints" / "step-00000099").mkdir()
    done = succeed(train_command(output, "--max-steps", 10))
    assert "resumes from step 4" in done.stdout
    assert "step-00000008/model.safetensors is not as it was written" in done.stderr
    assert "step-00000006 is incomplete" in done.stderr
    assert "step-00000099 is incomplete" in done.stderr


@pytest.mark.slow
def test_a_run_is_not_mixed_with_another(tmp_path: Path) -> None:
    """Another recipe in the same folder: the differences are named; finished runs are left alone."""
    output = tmp_path / "run"
    succeed(train_command(output, "--max-steps", 1))
    other = run(train_command(output, recipe="digits_vgg_a"))
    assert other.returncode == 1
    assert "holds a run of something else" in other.stderr
    assert "settings.crop_size is 32 there and 64 now" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_checkpoint_that_is_killed_while_it_is_written_is_not_there(tmp_path: Path) -> None:
    """A process that dies at the n-th system call of a checkpoint, for every n: the one before is whole."""
    from recipes.training.checkpoint import Checkpoints

    kept = Checkpoints(tmp_path, keep_last=1, keep_best=0)

    def save(step: int) -> None:
        kept.save(
            step,
            {"step": step},
            lambda folder: (folder / "net").write_text(str(step)) and None,
            {"m.safetensors": {"x": torch.full((3,), float(step))}},
        )

    save(1)
    deaths = 0
    for call in range(1, 100):
        child = os.fork()
        if child == 0:
            _die_at(call)
            save(2)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        latest = kept.latest()
        assert latest is not None
        assert latest.state["step"] in (1, 2)
        assert latest.tensors("m.safetensors")["x"].tolist() == [float(latest.state["step"])] * 3
        if os.WIFEXITED(status):
            break
        deaths += 1
        if latest.state["step"] == 2:  # begin again from one whole checkpoint
            for path in tmp_path.iterdir():
                shutil.rmtree(path)
            save(1)
    assert deaths > 8
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def _die_at(call: int) -> None:
    """Let this process die in the call-th fsync, rename, mkdir or unlink from now on."""
    left = [call]
    for name in ("fsync", "rename", "mkdir", "unlink", "rmdir"):
        original = getattr(os, name)

        def dying(*args: Any, _original: Any = original, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return _original(*args, **kwargs)

        setattr(os, name, dying)
