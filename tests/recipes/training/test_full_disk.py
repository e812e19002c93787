"""A disk that fills up during a training: one line, nothing half-written, and the same command resumes."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from recipes import train
from recipes.training.checkpoint import Checkpoints
from tests.full_disks import FULL_DISKS
from tests.recipes.commands import command, run
from vgg_zoo.weights.files import FullDiskError

RECIPE = str(Path(__file__).parents[1] / "tiny.py")


@pytest.mark.parametrize("disk", FULL_DISKS)
def test_an_older_checkpoint_stays(tmp_path: Path, disk: str) -> None:
    """And is what a run resumes from; the new one leaves nothing, so that its space is free again."""

    def save(checkpoints: Checkpoints, step: int, numbers: int) -> None:
        tensors = {"momentum.safetensors": {"x": torch.ones(numbers)}}
        checkpoints.save(step, {"error": None}, lambda folder: (folder / "net").write_bytes(b"net"), tensors)

    with FULL_DISKS[disk](tmp_path, 100) as folder:
        checkpoints = Checkpoints(folder / "checkpoints")
        save(checkpoints, 1, 10)
        message = r"^cannot write .*checkpoints/step-00000002: .*\. Free some space, and give the same command again"
        with pytest.raises(FullDiskError, match=message):
            save(checkpoints, 2, 100_000)
        assert [path.name for path in checkpoints.folder.iterdir()] == ["step-00000001"]
        latest = checkpoints.latest()
        assert latest is not None
        assert latest.state["step"] == 1
        save(checkpoints, 2, 1000)
        assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-00000001", "step-00000002"]


def full(*_: Any, **__: Any) -> Any:
    """What the system says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["metrics.csv", "checkpoint", "picture", "results.json"])
def test_the_same_command_resumes(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was to be written when the disk was full; the net is the one of a run on a disk with space."""
    words = ["--recipe", RECIPE, "--data", "digits", "--max-steps", "40", "--checkpoint-every", "10", "--output"]
    assert train.main([*words, str(tmp_path / "whole")]) == 0
    named = {"picture": "learning_curve.png", "checkpoint": "step-00000010"}.get(moment, moment)
    replace = Path.replace

    def full_at_the_end(path: Path, to: Path) -> Path:
        return full() if path.name == f".{named}.writing" else replace(path, to)  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        if moment == "checkpoint":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(
                Path, "replace", lambda path, to: full() if path.name == f".{named}.writing" else replace(path, to)
            )
        assert train.main([*words, str(tmp_path / "full")]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: cannot write ")
    assert f"/{named}: no space is left on its device" in said
    assert not (tmp_path / "full" / "results.json").exists()
    assert not list((tmp_path / "full").rglob(".*"))
    assert train.main([*words, str(tmp_path / "full")]) == 0
    sums = [json.loads((tmp_path / name / "results.json").read_text())["weights_sha256"] for name in ("whole", "full")]
    assert sums[0] == sums[1]


@pytest.mark.slow
def test_a_real_disk_that_is_full_ends_the_command_in_one_line(tmp_path: Path) -> None:
    """With all files of a run on it."""
    with FULL_DISKS["disk"](tmp_path, 300) as disk:
        options = ("--recipe", RECIPE, "--data", "digits", "--max-steps", "30", "--checkpoint-every", "5")
        done = run(command("train", *options, "--output", disk / "out"))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert f"error: cannot write {disk}/out/" in done.stderr
        assert "Free some space, and give the same command again: a run resumes" in done.stderr
