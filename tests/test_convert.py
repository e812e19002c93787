"""`python -m vgg_zoo.convert`: any file of weights becomes a folder that timm loads."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.helpers import in_torchvisions_layout, small
from tests.weights.writers import arrays_of, write_caffe, write_keras, write_matconvnet
from vgg_zoo.convert import convert


def command(*options: Any) -> subprocess.CompletedProcess[str]:
    """The command as users type it."""
    arguments = [sys.executable, "-m", "vgg_zoo.convert", *map(str, options)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def loaded(folder: Path) -> Any:
    """The net as timm loads it."""
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


@pytest.mark.parametrize("kind", ["caffe", "keras", "mat", "torchvision"])
@pytest.mark.parametrize("name", ["vgg_a", "vgg_b", "vgg_b_shallow", "vgg_c", "vgg_d", "vgg_e"])
def test_every_format_becomes_a_folder_that_timm_loads(tmp_path: Path, name: str, kind: str) -> None:
    """The same logits, and preprocessing as the nets of the format take it; odd widths are found again."""
    net = small(name, width_multiplier=0.07, head_kernel_size=3)
    source = tmp_path / "w.mat"
    if kind == "caffe":
        write_caffe(source, arrays_of(net))
    elif kind == "keras":
        write_keras(source, arrays_of(net))
    elif kind == "mat":
        write_matconvnet(source, arrays_of(net))
    else:
        torch.save(in_torchvisions_layout(net.state_dict()), source)
    convert(source, tmp_path / "out")
    model = loaded(tmp_path / "out")
    images = torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        assert torch.equal(model(images), net(images))
    first = 123.675 if kind == "torchvision" else 123.68
    assert model.pretrained_cfg["architecture"] == name
    assert model.pretrained_cfg["mean"][0] * 255 == pytest.approx(first)
    assert model.pretrained_cfg["std"][0] * 255 == pytest.approx(58.395 if kind == "torchvision" else 1)
    assert model.pretrained_cfg["input_size"] == (3, 96, 96)


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    """A and A-LRN have the same tensors; options say the net, the names and the numbers."""
    source = write_caffe(tmp_path / "w.caffemodel", arrays_of(small("vgg_a_lrn")))
    done = command(source, "--to", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert "is a Caffe file of vgg_a (A and A-LRN have the same tensors; --net says which)" in done.stdout
    (tmp_path / "names").write_text("one\ntwo\nthree\nfour\nfive\n")
    options = ["--net", "vgg_a_lrn", "--tag", "mine", "--mean", "1", "2", "3", "--class-names", tmp_path / "names"]
    assert command(source, "--to", tmp_path / "lrn", *options).returncode == 0
    cfg = loaded(tmp_path / "lrn").pretrained_cfg
    assert (cfg["architecture"], cfg["tag"], cfg["label_names"][4]) == ("vgg_a_lrn", "mine", "five")
    assert [value * 255 for value in cfg["mean"]] == pytest.approx([1, 2, 3])


def test_what_fits_nothing_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """Another net than --net, no FC layers, another count of names, a tensor too many, a folder that is taken."""
    net = small("vgg_d")
    full = write_caffe(tmp_path / "full", arrays_of(net))
    trunk = write_keras(tmp_path / "trunk", arrays_of(net, top=False))
    misshapen = dict(net.state_dict())
    misshapen["features.2.weight"] = torch.zeros(6, 5, 3, 3)
    save_file(misshapen, tmp_path / "misshapen")
    (tmp_path / "names").write_text("one\n")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    out = tmp_path / "out"
    for options, message in (
        ((full, "--to", out, "--net", "vgg_e"), "the weights are of vgg_d, not of 'vgg_e'"),
        ((trunk, "--to", out), "holds the trunk of vgg_d without its FC layers"),
        ((full, "--to", out, "--class-names", tmp_path / "names"), "1 class names for a net of 5 classes"),
        ((tmp_path / "misshapen", "--to", out), "features.2.weight is 6×5×3×3 in the file and 6×6×3×3 in the net"),
        ((tmp_path / "nowhere", "--to", out), "there is no file"),
        ((full, "--to", taken), "exists already"),
    ):
        done = command(*options)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert not out.exists()
    assert [file.name for file in taken.iterdir()] == ["thesis.txt"]
