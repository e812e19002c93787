"""Which checkpoints are kept, and what a whole one is."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from recipes.recipe import load_recipe
from recipes.training.checkpoint import Checkpoints, load_checkpoint
from recipes.training.schedule import Schedule


def save(checkpoints: Checkpoints, step: int, error: float | None = None) -> None:
    """A checkpoint with one small file as its net."""
    state = {"error": error}
    checkpoints.save(
        step, state, lambda folder: (folder / "net").write_bytes(b"weights"), {"m.safetensors": {"x": torch.ones(2)}}
    )


def kept(folder: Path) -> list[int]:
    """Steps of the checkpoints that are there."""
    return [int(path.name.removeprefix("step-")) for path in sorted(folder.iterdir())]


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    """Two of each; one without an error, written within an epoch, is never among the best."""
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_best=2)
    for step, error in enumerate([0.9, None, 0.3, 0.5, 0.2, 0.6, None, 0.7], start=1):
        save(checkpoints, step, error)
    assert kept(tmp_path) == [3, 5, 7, 8]
    checkpoints.finish()
    assert kept(tmp_path) == [3, 5]


def test_damaged_ones_do_not_take_the_place_of_whole_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither among the newest nor among the best; so a later kill does not begin at step 0."""
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_best=1)
    for step, error in ((1, 0.4), (2, 0.5), (8, 0.3), (9, 0.1)):
        save(Checkpoints(tmp_path, keep_last=9), step, error)
    for step in (8, 9):
        file = tmp_path / f"step-{step:08}" / "m.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    save(checkpoints, 3, 0.6)
    assert kept(tmp_path) == [1, 2, 3]
    assert "a damaged checkpoint is not kept" in caplog.text
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.state["step"] == 3


def test_a_finished_run_may_keep_none(tmp_path: Path) -> None:
    """The folder goes with the last of them."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep_last=1, keep_best=0)
    save(checkpoints, 1, 0.5)
    checkpoints.finish()
    assert not (tmp_path / "checkpoints").exists()
    assert checkpoints.latest() is None


def test_one_that_is_half_written_or_half_removed_is_cleaned_up(tmp_path: Path) -> None:
    """By the next one that is written, and it was never taken for a checkpoint."""
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    (tmp_path / ".step-00000002.writing").mkdir()
    (tmp_path / ".step-00000000.removing").mkdir()
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.state["step"] == 1
    save(checkpoints, 3)
    assert kept(tmp_path) == [1, 3]


def test_every_file_is_on_the_disk_before_the_checkpoint_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves no checkpoint with empty files: they, their folder, the rename, then the folder around it."""
    synced: list[int] = []
    before_rename: list[int] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def noted_rename(*names: Any, **options: Any) -> None:
        before_rename.extend(synced)
        rename(*names, **options)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    save(Checkpoints(tmp_path), 1)
    folder = tmp_path / "step-00000001"
    assert {path.name for path in folder.iterdir()} == {"net", "m.safetensors", "state.json"}
    assert {path.stat().st_ino for path in (folder, *folder.iterdir())} == set(before_rename)
    assert synced == [*before_rename, tmp_path.stat().st_ino]


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    """A resumed run comes to that step again."""
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    (tmp_path / "step-00000001" / "net").write_bytes(b"damage")
    assert checkpoints.latest() is None
    save(checkpoints, 1)
    assert load_checkpoint(tmp_path / "step-00000001").tensors("m.safetensors")["x"].tolist() == [1, 1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": {}}', '{"step": 1, "sha256": {"net": "00"}}'])
def test_what_is_no_checkpoint_is_named(text: str, tmp_path: Path) -> None:
    """Incomplete, or not as it was written."""
    save(Checkpoints(tmp_path), 1)
    folder = tmp_path / "step-00000001"
    (folder / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"step-00000001.* is (incomplete|not as it was written)"):
        load_checkpoint(folder)


def test_a_state_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    """A name with a path in it is no file of a checkpoint."""
    save(Checkpoints(tmp_path / "checkpoints"), 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    state = json.loads((folder / "state.json").read_text())
    (tmp_path / "net").write_bytes(b"weights")
    state["sha256"] = {"../../net": state["sha256"]["net"]}
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="is not as it was written"):
        load_checkpoint(folder)


def test_a_file_without_a_hash_is_no_part_of_a_checkpoint(tmp_path: Path) -> None:
    """Nor is one whole that has no hashes at all: nothing of it could be checked."""
    save(Checkpoints(tmp_path), 1)
    folder = tmp_path / "step-00000001"
    state = json.loads((folder / "state.json").read_text())
    hashes = dict(state["sha256"])
    hashes.pop("net")
    for kept_hashes, message in ((hashes, "state.json has no hash of net"), ({}, "no hash of m.safetensors, net")):
        (folder / "state.json").write_text(json.dumps(state | {"sha256": kept_hashes}))
        with pytest.raises(ValueError, match=f"step-00000001 is incomplete .*{message}"):
            load_checkpoint(folder)
        assert Checkpoints(tmp_path).latest() is None


def test_a_state_that_lacks_a_field_is_named(tmp_path: Path) -> None:
    """Where a run reads one that is not there, or of another type."""
    save(Checkpoints(tmp_path), 1)
    checkpoint = load_checkpoint(tmp_path / "step-00000001")
    message = r"state.json is not what a training writes \(KeyError\('epoch'\)\); name another one with --resume"
    with pytest.raises(ValueError, match=message), checkpoint.reading():
        checkpoint.state["epoch"]
    schedule = Schedule(load_recipe("digits_vgg_a"))
    with pytest.raises(ValueError, match=r"a schedule has epochs, .*, not best"), checkpoint.reading():
        schedule.restore({"best": 0.5})
