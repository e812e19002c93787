"""`convert`: folders that timm loads, round trips through timm and torchvision, memory, refusals."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.data import resolve_data_config
from torch import Tensor

from tests.helpers import in_torchvisions_layout, small
from tests.vgg_zoo.weights.formats import caffe, field, in_oxfords_layout, keras, matconvnet
from tests.vgg_zoo.weights.test_read import weights
from vgg_zoo.weights.convert import convert

OXFORDS = ((0.4850, 0.4580, 0.4076), (0.0039, 0.0039, 0.0039))
IMAGENETS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SOURCES = {"caffe": OXFORDS, "keras": OXFORDS, "matconvnet": OXFORDS, "timm": IMAGENETS, "torchvision": IMAGENETS}


def write(file: Path, kind: str, state_dict: dict[str, Tensor], net: str) -> None:
    """A file of each kind."""
    if kind in ("timm", "torchvision"):
        save_file(state_dict if kind == "timm" else in_torchvisions_layout(state_dict), file)
        return
    arrays = in_oxfords_layout(state_dict, net)
    side = state_dict["pre_logits.fc1.weight"].shape[-1]
    if kind == "caffe":
        file.write_bytes(caffe(arrays))
    elif kind == "keras":
        keras(file, arrays, side)
    else:
        matconvnet(file, arrays, side)


@pytest.mark.parametrize("net", ["vgg_a", "vgg_b", "vgg_b_shallow", "vgg_c", "vgg_d", "vgg_e"])
@pytest.mark.parametrize("kind", SOURCES)
def test_timm_loads_what_was_converted(kind: str, net: str, tmp_path: Path) -> None:
    """The net is found and named, and the folder gives its logits, its preprocessing and nothing else."""
    expected = small(net)
    expected.load_state_dict(weights(net))
    write(tmp_path / "file", kind, expected.state_dict(), net)
    said = convert(tmp_path / "file", tmp_path / "net")
    assert f"is net {expected.configuration.name} of Table 1 with 5 outputs" in said
    assert ("net A-LRN has the same weights" in said) == (net == "vgg_a")
    assert sorted(file.name for file in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]
    loaded = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    images = torch.randn(2, 3, 70, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(images), expected(images))
    config = resolve_data_config(model=loaded)
    assert (config["mean"], config["std"]) == tuple(pytest.approx(values, abs=1e-4) for values in SOURCES[kind])
    assert config["input_size"] == (3, 64, 64)
    assert loaded.pretrained_cfg["tag"] == kind


@pytest.mark.parametrize("changes", [{"width_multiplier": 0.25}, {"width_multiplier": 0.05, "in_chans": 1}])
def test_widths_channels_and_classes_are_found(changes: dict[str, Any], tmp_path: Path) -> None:
    """From the shapes alone; timm's features without a last layer stay so."""
    expected = small("vgg_e", **changes, num_classes=0)
    write(tmp_path / "file", "timm", expected.state_dict(), "vgg_e")
    grey = {"mean": [100], "deviation": [50]} if "in_chans" in changes else {}
    convert(tmp_path / "file", tmp_path / "net", **grey)
    arguments = json.loads((tmp_path / "net/config.json").read_text())["model_args"]
    assert arguments["width_multiplier"] == changes["width_multiplier"]
    loaded = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    images = torch.randn(1, expected.in_chans, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(images), expected(images))


def test_arguments_override(tmp_path: Path) -> None:
    """Net, preprocessing, tag, licence, class names."""
    write(tmp_path / "file", "caffe", weights("vgg_a"), "vgg_a")
    given: dict[str, Any] = {"net": "vgg_a_lrn", "tag": "mine", "licence": "cc-by-4.0", "class_names": list("abcde")}
    convert(tmp_path / "file", tmp_path / "net", mean=(1, 2, 3), deviation=(51, 51, 51), **given)
    cfg = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).pretrained_cfg
    assert (cfg["architecture"], cfg["tag"], cfg["license"]) == ("vgg_a_lrn", "mine", "cc-by-4.0")
    assert (cfg["std"], cfg["label_names"]) == ([0.2] * 3, list("abcde"))
    assert cfg["mean"] == pytest.approx([1 / 255, 2 / 255, 3 / 255])


@pytest.mark.slow
def test_a_file_without_top_gets_one_on_request_only(tmp_path: Path) -> None:
    """The convolutions are the file's; the FC layers are random, the same each time, and the folder says so."""
    expected = weights("vgg_d")
    keras(tmp_path / "file", in_oxfords_layout(expected, "vgg_d"), 2, top=False)
    with pytest.raises(ValueError, match=r"only convolutions and no FC layers.*--random-head CLASSES"):
        convert(tmp_path / "file", tmp_path / "net")
    for name in ("net", "again"):
        convert(tmp_path / "file", tmp_path / name, random_head=3)
    assert (tmp_path / "net/model.safetensors").read_bytes() == (tmp_path / "again/model.safetensors").read_bytes()
    found = load_file(tmp_path / "net/model.safetensors")
    assert all(torch.equal(found[key], value) for key, value in expected.items() if key.startswith("features"))
    assert found["head.fc.weight"].shape == (3, 4096)
    assert "FC layers random" in (tmp_path / "net/config.json").read_text()


@pytest.mark.slow
def test_torchvisions_features_are_a_trunk(tmp_path: Path) -> None:
    """IMAGENET1K_FEATURES has NaN for FC layers."""
    state_dict = weights("vgg_d")
    for key, value in state_dict.items():
        if not key.startswith("features"):
            value.fill_(torch.nan)
    write(tmp_path / "file", "torchvision", state_dict, "vgg_d")
    with pytest.raises(ValueError, match=r"not finite: pre_logits\.fc1\..*--random-head"):
        convert(tmp_path / "file", tmp_path / "net")
    convert(tmp_path / "file", tmp_path / "net", random_head=2)
    assert all(value.isfinite().all() for value in load_file(tmp_path / "net/model.safetensors").values())


def refusals() -> dict[str, tuple[bytes, dict[str, Any], str]]:
    """Files, arguments, and what the error says."""
    arrays = in_oxfords_layout(weights("vgg_d"), "vgg_d")
    whole = caffe(arrays)
    without = {key: value for key, value in arrays.items() if not key.startswith("conv4_2")}
    renamed = {key.replace("fc8", "fc8_flowers"): value for key, value in arrays.items()}
    infinite = arrays | {"conv3_1": np.full_like(arrays["conv3_1"], np.inf)}
    misshapen = arrays | {"conv2_1 bias": np.zeros(3, np.float32)}
    return {
        "not a model": (b"hello", {}, "like none of the known kinds"),
        "cut short": (whole[:-100], {}, "byte"),
        "a layer less": (caffe(without), {}, "missing: features.19.weight, features.19.bias"),
        "a layer renamed": (
            caffe(renamed),
            {},
            "unexpected: fc8_flowers.weight",
        ),
        "a misshapen bias": (caffe(misshapen), {}, "features.5.bias is 3 in the file and 13 in the net"),
        "infinite": (caffe(infinite), {}, "not finite: features.10.weight; download the file again"),
        "another net": (whole, {"net": "vgg_e"}, "Their convolutions fit configuration D"),
        "an unknown net": (whole, {"net": "vgg_f"}, "unknown net 'vgg_f'; the zoo has vgg_a, "),
        "a mean of two": (whole, {"mean": (1, 2)}, "takes 3 channels and --mean has 2 numbers"),
        "a deviation of 0": (whole, {"deviation": (1, 1, 0)}, "--std must be above 0"),
        "no names": (whole, {"class_names": []}, "0 class names for a net with 5 outputs"),
        "no Caffe net": (field(2, field(4, b"x")), {}, "no layer with weights"),
    }


@pytest.mark.parametrize("case", refusals())
def test_refusals_are_one_line_and_write_nothing(case: str, tmp_path: Path) -> None:
    """And no folder is made."""
    content, arguments, message = refusals()[case]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        convert(tmp_path / "file", tmp_path / "net", **arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_weights_are_not_overwritten_unasked(tmp_path: Path) -> None:
    """But with --overwrite, even when they are the source."""
    write(tmp_path / "file", "caffe", weights(), "vgg_d")
    convert(tmp_path / "file", tmp_path / "net")
    first = (tmp_path / "net/model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"already has weights.*--overwrite"):
        convert(tmp_path / "file", tmp_path / "net")
    convert(tmp_path / "net/model.safetensors", tmp_path / "net", overwrite=True)
    assert (tmp_path / "net/model.safetensors").read_bytes() == first


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Existing files do not change, and no half-written file remains."""
    write(tmp_path / "file", "caffe", weights(), "vgg_d")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vgg_zoo.weights.folder.save_for_hf", full)
    with pytest.raises(OSError, match="No space left"):
        convert(tmp_path / "file", tmp_path / "net")
    assert list((tmp_path / "net").iterdir()) == []


@pytest.mark.slow
def test_oxfords_layout_to_ours_to_timm_to_torchvision(tmp_path: Path) -> None:
    """One full-size net D: a Caffe file gives ours, timm's vgg16 and torchvision's the same logits, and goes back."""
    torch.manual_seed(0)
    ours = timm.create_model("vgg_d").eval()
    (tmp_path / "file").write_bytes(caffe(in_oxfords_layout(ours.state_dict(), "vgg_d")))
    convert(tmp_path / "file", tmp_path / "net")
    state_dict = load_file(tmp_path / "net/model.safetensors")
    assert all(torch.equal(state_dict[key], value) for key, value in ours.state_dict().items())
    theirs = timm.create_model("vgg16").eval()
    theirs.load_state_dict(state_dict)
    third = torchvision.models.vgg16().eval()
    third.load_state_dict(in_torchvisions_layout(theirs.state_dict()))
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        logits = ours(images)
        torch.testing.assert_close(theirs(images), logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(third(images), logits, rtol=1e-4, atol=1e-5)
    save_file(third.state_dict(), tmp_path / "back")
    convert(tmp_path / "back", tmp_path / "again")
    again = load_file(tmp_path / "again/model.safetensors")
    assert all(torch.equal(again[key], value) for key, value in state_dict.items())


PEAK = """
import sys, threading
from pathlib import Path
import h5py, scipy.io
from vgg_zoo.weights.convert import convert

def memory(what):
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024

baseline = memory("VmRSS")
convert(Path(sys.argv[1]), Path(sys.argv[2]))
print((memory("VmHWM") - baseline) / Path(sys.argv[1]).stat().st_size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("kind", SOURCES)
def test_a_conversion_takes_little_more_than_twice_the_file(kind: str, tmp_path: Path) -> None:
    """Net D at full size (553 MB), mapped pages of the file included: at most 2.2 times."""
    state_dict = timm.create_model("vgg_d", device="meta").state_dict()
    for key, value in state_dict.items():
        state_dict[key] = torch.full(value.shape, 0.5)
    write(tmp_path / "file", kind, state_dict, "vgg_d")
    assert (tmp_path / "file").stat().st_size > 553_430_000
    command = [sys.executable, "-c", PEAK, str(tmp_path / "file"), str(tmp_path / "net")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.9 < float(done.stdout.split()[-1]) <= 2.2
