"""Every format's reader on files that the tests write."""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.helpers import NETS, in_torchvisions_layout, small
from tests.vgg_zoo.weights.formats import caffe, field, in_oxfords_layout, keras, matconvnet
from vgg_zoo.weights.read import read_weights

SIDE = 2
OXFORDS_MEAN = (123.68, 116.779, 103.939)


def weights(net: str = "vgg_d", **changes: Any) -> dict[str, Tensor]:
    """A small net's state dict, with biases that are not zero."""
    found = small(net, **changes).state_dict()
    return {key: value + 0.01 * torch.randn(value.shape) for key, value in found.items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Bit for bit, under the same keys, as float32 that safetensors takes."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
        assert found[key].dtype == torch.float32
        assert found[key].is_contiguous()


@pytest.mark.parametrize("data", ["packed", "unpacked", "double"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("net", NETS)
def test_caffe(net: str, version: int, data: str, tmp_path: Path) -> None:
    """Both layer formats, all ways to write numbers, for every net."""
    expected = weights(net)
    (tmp_path / "x").write_bytes(caffe(in_oxfords_layout(expected, net), version, data))
    found, info = read_weights(tmp_path / "x")
    assert_same(found, expected)
    assert (info.kind, info.mean, info.deviation) == (f"Caffe (V{version})", OXFORDS_MEAN, (1, 1, 1))


def test_caffes_fc_layers_as_convolutions(tmp_path: Path) -> None:
    """Fully convolutional nets keep them as (4096, 512, 7, 7)."""
    expected = weights()
    arrays = in_oxfords_layout(expected, "vgg_d")
    for name, ours in (("fc6", "pre_logits.fc1"), ("fc7", "pre_logits.fc2")):
        arrays[name] = expected[f"{ours}.weight"].numpy()
    arrays["fc8"] = arrays["fc8"][:, :, None, None]
    (tmp_path / "x").write_bytes(caffe(arrays, version=2))
    assert_same(read_weights(tmp_path / "x")[0], expected)


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("layout", ["1", "2", "model", "3"])
@pytest.mark.parametrize("net", ["vgg_a", "vgg_c", "vgg_d", "vgg_e"])
def test_keras(net: str, layout: str, top: bool, tmp_path: Path) -> None:
    """The layouts of Keras 1, 2 and 3, with and without top; an optimizer's moments are passed over."""
    expected = weights(net)
    keras(tmp_path / "x", in_oxfords_layout(expected, net), SIDE, layout, top)
    found, info = read_weights(tmp_path / "x")
    assert_same(found, {key: value for key, value in expected.items() if top or key.startswith("features")})
    assert (info.kind, info.mean, info.deviation) == ("Keras", OXFORDS_MEAN, (1, 1, 1))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("net", ["vgg_a", "vgg_d", "vgg_e"])
def test_matconvnet(net: str, old: bool, compressed: bool, tmp_path: Path) -> None:
    """Cells of weights, and filters and biases of the older files."""
    expected = weights(net)
    matconvnet(tmp_path / "x", in_oxfords_layout(expected, net), SIDE, old, compressed)
    found, info = read_weights(tmp_path / "x")
    assert_same(found, expected)
    assert (info.kind, info.mean, info.deviation) == ("MatConvNet", OXFORDS_MEAN, (1, 1, 1))


def test_matlabs_dropped_dimensions(tmp_path: Path) -> None:
    """One class: MATLAB has no trailing dimension of size 1."""
    expected = weights(num_classes=1)
    arrays = in_oxfords_layout(expected, "vgg_d")
    matconvnet(tmp_path / "x", arrays, SIDE)
    assert_same(read_weights(tmp_path / "x")[0], expected)


@pytest.mark.parametrize(
    ("kind", "wrapped"),
    [("safetensors", None), *((kind, key) for kind in ("zip", "legacy") for key in (None, "state_dict", "model"))],
)
@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_state_dicts(layout: str, kind: str, wrapped: str | None, tmp_path: Path) -> None:
    """PyTorch's old and new files and safetensors, bare and in a checkpoint, also DDP's; half becomes float."""
    expected = weights()
    if layout == "torchvision":
        expected = in_torchvisions_layout(expected)
    halves = {f"module.{key}" if wrapped else key: value.half() for key, value in expected.items()}
    if kind == "safetensors":
        save_file(halves, tmp_path / "x")
    else:
        saved = {wrapped: halves, "epoch": 7} if wrapped else halves
        torch.save(saved, tmp_path / "x", _use_new_zipfile_serialization=kind == "zip")
    found, info = read_weights(tmp_path / "x")
    assert_same(found, {key: value.half().float() for key, value in expected.items()})
    assert (info.tag, info.kind) == (layout, f"PyTorch, in {layout}'s layout")
    assert [round(value / 255, 3) for value in info.mean + info.deviation] == [0.485, 0.456, 0.406, 0.229, 0.224, 0.225]


def test_a_moving_average_comes_before_the_weights(tmp_path: Path) -> None:
    """As in timm: it is what timm's train.py tests."""
    average, last = weights(), {key: value + 1 for key, value in weights().items()}
    torch.save({"state_dict": last, "state_dict_ema": average, "epoch": 7}, tmp_path / "x")
    assert_same(read_weights(tmp_path / "x")[0], average)


class Bomb:
    """Unpickled, it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("the pickle ran",))


def zipped(**members: bytes) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def saved(value: object) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def hdf5(**arrays: np.ndarray) -> bytes:
    """An HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as opened:
        for name, value in arrays.items():
            opened[name] = value
    return buffer.getvalue()


WRONG = {
    "empty": (b"", "like none of the known kinds"),
    "a web page": (b"<!DOCTYPE html><html>404", r"begins with b'<!DOCTYP'.*\.caffemodel"),
    "a zip file": (zipped(a_txt=b"x"), "not a plain PyTorch state dict"),
    "a .keras archive": (zipped(metadata_json=b"{}"), "take model.weights.h5"),
    "a pickle of code": (saved({"a": Bomb()}), "never runs Python objects"),
    "a checkpoint without weights": (saved({"epoch": 3}), "has no state dict"),
    "a list": (saved([torch.zeros(2)]), "has no state dict"),
    "half a state dict": (saved({"a": torch.zeros(999)})[:900], "not a plain PyTorch state dict"),
    "half a safetensors file": (b"\x02\0\0\0\0\0\0\0{", "like none of the known kinds|not a whole safetensors"),
    "a damaged safetensors header": (b"\x02\0\0\0\0\0\0\0{{", "not a whole safetensors file"),
    "HDF5's first bytes": (b"\x89HDF\r\n\x1a\n" + bytes(500), "not a whole HDF5 file"),
    "half a Keras file": (hdf5(block1_conv1=np.zeros((3, 3, 3, 64)))[:4000], "not a whole HDF5 file"),
    "another net of Keras": (hdf5(dense=np.zeros((3, 3))), "no layer of Keras' VGG"),
    "a layer twice": (
        hdf5(**{"a/fc1/kernel": np.zeros((4, 3)), "b/fc1/kernel": np.zeros((4, 3))}),
        "a second fc6.weight of the same net",
    ),
    "a first FC layer of no map": (
        hdf5(**{"block1_conv1/W": np.zeros((3, 3, 3, 4)), "fc1/W": np.zeros((9, 2))}),
        "fc6 takes 9 inputs",
    ),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "'-v7'"),
    "half a .mat": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\x0e\0\0\0\xff\0\0\0", "not a whole MATLAB file"),
    ".mat without layers": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", "no list `layers`"),
    "a net without weights": (field(1, b"VGG") + field(2, field(4, b"conv1_1")), "no layer with weights"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_vgg_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """Each with the file's name and its own reason."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_weights(tmp_path / "file")
    assert str(tmp_path / "file") in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Or is a folder."""
    with pytest.raises(ValueError, match="does not exist; name one file"):
        read_weights(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is a folder"):
        read_weights(tmp_path)


def test_arrays_that_are_not_in_the_keras_file_are_not_read(tmp_path: Path) -> None:
    """A shape without data would be allocated, and external storage is another file of the reader's machine."""
    (tmp_path / "secret").write_bytes(bytes(4 * 27))
    with h5py.File(tmp_path / "huge", "w") as opened:
        opened.create_dataset("block1_conv1/W", (3, 3, 3, 1 << 40), "f4")
    with h5py.File(tmp_path / "external", "w") as opened:
        external = [(str(tmp_path / "secret"), 0, 4 * 27)]
        opened.create_dataset("block1_conv1/W", (3, 3, 3, 1), "f4", external=external)
    for name in ("huge", "external"):
        with pytest.raises(ValueError, match="is not within the file's"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(("module", "write"), [("h5py", keras), ("scipy.io", matconvnet)])
def test_a_missing_library_is_named(module: str, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to install it."""
    write(tmp_path / "x", in_oxfords_layout(weights(), "vgg_d"), SIDE)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"needs .*pip install -e '\.\[convert\]'"):
        read_weights(tmp_path / "x")
