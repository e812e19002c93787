"""`vgg-zoo convert`: what its options become; `vgg_zoo.weights.convert` has tests of its own."""

from pathlib import Path

import pytest
import timm

from tests.vgg_zoo.weights.formats import caffe, in_oxfords_layout
from tests.vgg_zoo.weights.test_read import weights
from tests.vgg_zoo_cli.conftest import Run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small net A in Caffe's format."""
    file = tmp_path / "file"
    file.write_bytes(caffe(in_oxfords_layout(weights("vgg_a"), "vgg_a")))
    return file


@pytest.mark.parametrize("old", [False, True])
def test_options_become_arguments(old: bool, source: Path, tmp_path: Path, run: Run) -> None:
    """Net, preprocessing, tag, licence, class names; also by the names that the options once had."""
    (tmp_path / "names").write_text("ant\nbee\ncat\ndog\neel\n")
    words = ["--net" if old else "--architecture", "vgg_a_lrn", "--licence" if old else "--license", "cc-by-4.0"]
    words += ["--to" if old else "--output", str(tmp_path / "net"), "--class-names", str(tmp_path / "names")]
    done = run("convert", source, *words, "--tag", "mine", "--mean", 1, 2, 3, "--std", 51, 51, 51)
    assert done.code == 0
    assert "is net A-LRN of Table 1 with 5 outputs" in done.out
    assert done.err.splitlines()[-2:] == [
        f"wrote {tmp_path}/net/{name}" for name in ("model.safetensors", "config.json")
    ]
    cfg = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).pretrained_cfg
    assert (cfg["architecture"], cfg["tag"], cfg["license"]) == ("vgg_a_lrn", "mine", "cc-by-4.0")
    assert (cfg["std"], cfg["label_names"]) == ([0.2] * 3, ["ant", "bee", "cat", "dog", "eel"])
    assert cfg["mean"] == pytest.approx([1 / 255, 2 / 255, 3 / 255])


def test_weights_that_exist_are_kept(source: Path, tmp_path: Path, run: Run) -> None:
    """Without --overwrite."""
    words = ("convert", source, "--output", tmp_path / "net")
    assert run(*words).code == 0
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert "already has weights; name another folder, or replace them with --overwrite" in done.err
    assert run(*words, "--overwrite").code == 0


def test_a_file_that_is_none_is_one_line(tmp_path: Path, run: Run) -> None:
    """Exit code 1: it was typed right. No folder is made."""
    (tmp_path / "file").write_bytes(b"hello")
    done = run("convert", tmp_path / "file", "--output", tmp_path / "net")
    assert (done.code, done.out) == (1, "")
    assert "like none of the known kinds" in done.err.splitlines()[-1]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
