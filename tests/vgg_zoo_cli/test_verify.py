"""`vgg-zoo verify`."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.helpers import training_results
from tests.vgg_zoo_cli.conftest import Run


@pytest.fixture
def trained(net: Path, tmp_path: Path) -> Path:
    """A copy of the net with the results.json that a training would leave."""
    folder = tmp_path / "run"
    shutil.copytree(net, folder)
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "results.json").write_text(json.dumps(training_results(weights_sha256=sha256)))
    return folder


def test_a_folders_weights_are_hashed(net: Path, trained: Path, run: Run) -> None:
    """And compared with what its training wrote, where there is that."""
    done = run("verify", net, trained)
    assert done.code == 0
    sha256 = hashlib.sha256((net / "model.safetensors").read_bytes()).hexdigest()
    assert done.rows[1] == [str(net), sha256, "fits its net; no hash of it is known", f"{net}/model.safetensors"]
    assert done.rows[2] == [str(trained), sha256, "as results.json says", f"{trained}/model.safetensors"]


def test_altered_weights_are_found(net: Path, trained: Path, run: Run) -> None:
    """Another value, or one that is no number; the others are still verified."""
    file = trained / "model.safetensors"
    tensors = load_file(file)
    tensors["head.fc.bias"][0] += 1
    save_file(tensors, file)
    done = run("verify", trained, net)
    assert done.code == 1
    assert "its results.json says" in done.err
    assert [row[0] for row in done.rows[1:]] == [str(net)]
    tensors["head.fc.bias"][0] = float("nan")
    save_file(tensors, file)
    done = run("verify", trained)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == f"error: {trained}: not finite: head.fc.bias; restore the file"


def test_a_name_is_verified_by_its_source(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `vgg_zoo.verify_weights` does; if the Hub cannot be reached, the error names the file."""
    (tmp_path / "file").write_bytes(b"weights")
    monkeypatch.setattr("vgg_zoo.pretrained.verify_weights", lambda name: tmp_path / "file")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    row = ["vgg_d.tv_in1k", sha256, "as its source published it", f"{tmp_path}/file"]
    assert run("verify", "vgg_d.tv_in1k").rows[1] == row
    monkeypatch.undo()
    done = run("verify", "vgg_d.tv_in1k")
    assert done.code == 1
    assert "vgg_d.tv_in1k needs model.safetensors of timm/vgg16.tv_in1k" in done.err
