"""Weights in the formats of Caffe, Keras, MatConvNet, torchvision and timm, from files written independently."""

import pickle
import random
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.helpers import NETS, in_torchvisions_layout, small
from tests.weights.writers import arrays_of, prototxt, write_caffe, write_keras, write_matconvnet
from vgg_zoo import VGG
from vgg_zoo.dense import class_score_map, pooling
from vgg_zoo.weights.caffe import layers_of
from vgg_zoo.weights.read import read_weights


def equal(found: dict[str, torch.Tensor], net: VGG) -> bool:
    """Bit for bit the net's tensors."""
    own = net.state_dict()
    return own.keys() == found.keys() and all(torch.equal(found[key], value) for key, value in own.items())


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("version", [1, 2])
def test_caffes_files_are_read_bit_for_bit(tmp_path: Path, name: str, version: int) -> None:
    """Both versions, FC layers as matrices and as convolutions; the net is known by its layers."""
    net = small(name)
    for convolutional in (False, True):
        found = read_weights(write_caffe(tmp_path / "w", arrays_of(net), version, convolutional))
        assert equal(found.tensors, net)
        assert net.configuration.name in found.nets
        assert len(found.nets) == (2 if name.startswith("vgg_a") else 1)


def test_numbers_that_are_not_packed_are_read(tmp_path: Path) -> None:
    """protobuf's readers must take both."""
    net = small("vgg_a", width_multiplier=0.02, head_hidden_size=4)
    assert equal(read_weights(write_caffe(tmp_path / "w", arrays_of(net), packed=False)).tensors, net)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("convolutional", [False, True])
def test_opencv_reads_the_same_and_computes_the_same(tmp_path: Path, version: int, convolutional: bool) -> None:
    """OpenCV's blobs are ours bit for bit, and its class score map is ours, with Caffe's pooling of odd sizes."""
    net = small("vgg_d")
    height, width = (101, 165) if convolutional else (64, 64)
    file = write_caffe(tmp_path / "w.caffemodel", arrays_of(net), version, convolutional)
    (tmp_path / "w.prototxt").write_text(prototxt(net, height, width, convolutional))
    theirs = cv2.dnn.readNetFromCaffe(str(tmp_path / "w.prototxt"), str(file))
    found = read_weights(file).tensors
    for name, key in net.configuration.layer_keys().items():
        for place, kind in enumerate(("weight", "bias")):
            blob = torch.from_numpy(theirs.getParam(name, place))
            ours = found[f"{key}.{kind}"]
            expected = ours.flip(1) if (name, kind) == ("conv1_1", "weight") else ours
            assert torch.equal(blob.flatten(), expected.flatten())
    image = torch.randn(1, 3, height, width)
    theirs.setInput(image.flip(1).numpy())  # BGR
    expected = torch.from_numpy(theirs.forward())
    net.load_state_dict(found)
    with torch.inference_mode(), pooling(net, ceil_mode=True):
        scores = class_score_map(net, image)
    assert scores.shape[2:] == ((3, 5) if convolutional else (1, 1))
    torch.testing.assert_close(scores.flatten(), expected.flatten(), rtol=1e-4, atol=1e-5)
    if convolutional:
        with torch.inference_mode():
            assert class_score_map(net, image).shape[2:] == (2, 4)  # PyTorch's pooling gives another map


@pytest.mark.parametrize("name", ["vgg_d", "vgg_e", "vgg_c"])
@pytest.mark.parametrize("nested", [False, True])
def test_keras_files_are_read(tmp_path: Path, name: str, nested: bool) -> None:
    """Rows, columns, channels become channels, rows, columns; BGR becomes RGB. Without the FC layers as well."""
    net = small(name)
    assert equal(read_weights(write_keras(tmp_path / "w.h5", arrays_of(net), nested)).tensors, net)
    trunk = read_weights(write_keras(tmp_path / "t.h5", arrays_of(net, top=False), nested))
    assert not trunk.has_head
    assert trunk.nets == (net.configuration.name,)
    assert torch.equal(trunk.tensors["features.0.weight"], net.state_dict()["features.0.weight"])


@pytest.mark.parametrize("name", ["vgg_d", "vgg_e", "vgg_a"])
@pytest.mark.parametrize(("old", "nested"), [(False, False), (True, False), (False, True)])
def test_matconvnets_files_are_read(tmp_path: Path, name: str, old: bool, nested: bool) -> None:
    """Of all its versions: weights, filters and biases, the net as a struct of its own."""
    net = small(name)
    assert equal(read_weights(write_matconvnet(tmp_path / "w.mat", arrays_of(net), old, nested)).tensors, net)


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "nested", "safetensors"])
def test_state_dicts_are_read(tmp_path: Path, layout: str, kind: str) -> None:
    """In both layouts, as PyTorch and as safetensors write them."""
    net = small("vgg_b")
    state: Any = net.state_dict()
    if layout == "torchvision":
        state = in_torchvisions_layout(state)
    if kind == "safetensors":
        save_file(state, tmp_path / "w")
    else:
        content = {"state_dict": state, "epoch": 3} if kind == "nested" else state
        torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=kind != "legacy")
    assert equal(read_weights(tmp_path / "w").tensors, net)


class Evil:
    """What a pickle could do."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("evil"),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tensors are read."""
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Evil()}, tmp_path / "w")
    (tmp_path / "plain").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("w", "plain"):
        with pytest.raises(ValueError, match="holds more than tensors"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_what_is_no_net_of_the_paper_is_told(tmp_path: Path) -> None:
    """By its layers or tensors, and what is known."""
    arrays = arrays_of(small("vgg_d"))
    del arrays["conv4_2"]
    with pytest.raises(ValueError, match="those of none of A, A-LRN, B"):
        read_weights(write_caffe(tmp_path / "w", arrays))
    arrays = arrays_of(small("vgg_d"))
    del arrays["fc7"]
    with pytest.raises(ValueError, match="only fc6, fc8 are there"):
        read_weights(write_caffe(tmp_path / "w", arrays))
    save_file({"layer1.0.conv1.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "w")
    with pytest.raises(ValueError, match=r"layer1.0.conv1.weight 3×3×3×3.*none of A"):
        read_weights(tmp_path / "w")
    with pytest.raises(ValueError, match="there is no file"):
        read_weights(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["caffe", "keras", "mat", "pth", "safetensors", "nothing", "text"])
def test_files_cut_short_are_told(tmp_path: Path, kind: str) -> None:
    """Anywhere: a ValueError, and no other."""
    net = small("vgg_a", width_multiplier=0.05)
    file = tmp_path / "w"
    if kind == "caffe":
        write_caffe(file, arrays_of(net))
    elif kind == "keras":
        write_keras(file, arrays_of(net))
    elif kind == "mat":
        write_matconvnet(tmp_path / "w.mat", arrays_of(net)).rename(file)
    elif kind == "pth":
        torch.save(net.state_dict(), file)
    elif kind == "safetensors":
        save_file(net.state_dict(), file)
    else:
        file.write_bytes(b"" if kind == "nothing" else b"<html>404 Not Found</html>" * 100)
    whole = file.read_bytes()
    for part in (0, 1, 7, 20, 200, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:part])
        with pytest.raises(ValueError, match=str(file)):
            read_weights(file)


def test_keras_files_cannot_lead_out_of_themselves(tmp_path: Path) -> None:
    """Links to another file, arrays kept in one, and shapes that no bytes are behind."""
    net = small("vgg_a")
    whole = write_keras(tmp_path / "whole.h5", arrays_of(net))
    (tmp_path / "secret").write_bytes(b"\0" * 4096)

    def altered(name: str) -> Path:
        return Path(shutil.copy(whole, tmp_path / name))

    with h5py.File(altered("link"), "a") as file:
        del file["block1_conv1"]
        file["block1_conv1"] = h5py.ExternalLink(str(whole), "block1_conv1")
    with h5py.File(altered("kept"), "a") as file:
        shape = file["block1_conv1/block1_conv1_b_1:0"].shape
        del file["block1_conv1/block1_conv1_b_1:0"]
        place = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        file["block1_conv1"].create_dataset("block1_conv1_b_1:0", shape, "f4", external=place)
    with h5py.File(altered("huge"), "a") as file:
        del file["fc1/fc1_W_1:0"]
        file["fc1"].create_dataset("fc1_W_1:0", (10**6, 10**6), "f4", chunks=True)
    for name, message in (
        ("link", "those of none of"),
        ("kept", "holds block1_conv1/block1_conv1_b_1:0"),
        ("huge", "holds fc1/fc1_W_1:0"),
    ):
        with pytest.raises(ValueError, match=message):
            read_weights(tmp_path / name)


def mutated(whole: bytes, generator: random.Random) -> bytes:
    """A file with flipped bits, bytes of 0xFF, cuts, repeats and moved parts, many of them near its structure."""
    content = bytearray(whole)
    for _ in range(generator.randint(1, 4)):
        if not content:
            break
        place = generator.choice((generator.randrange(len(content)), generator.randrange(min(len(content), 400))))
        kind = generator.randrange(6)
        if kind == 0:
            content[place] ^= 1 << generator.randrange(8)
        elif kind == 1:
            content[place : place + generator.randint(1, 10)] = b"\xff" * generator.randint(1, 10)
        elif kind == 2:
            del content[place : place + generator.randint(1, 50)]
        elif kind == 3:
            content[place:place] = generator.randbytes(generator.randint(1, 12))
        elif kind == 4:
            content = content[: place + 1]
        else:
            other = generator.randrange(len(content))
            content[place:place] = content[other : other + generator.randint(1, 200)]
    return bytes(content) or b"\0"


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_ten_thousand_damaged_files_give_an_error_or_an_answer(tmp_path: Path, version: int) -> None:
    """Never another exception, never more memory than a few times the file."""
    net = small("vgg_a", width_multiplier=0.02, head_hidden_size=3, head_kernel_size=1, num_classes=2)
    whole = write_caffe(tmp_path / "w", arrays_of(net), version).read_bytes()
    refused = answered = 0

    @settings(max_examples=5000, deadline=None, database=None, derandomize=True)
    @given(st.randoms(use_true_random=True))
    def read(generator: random.Random) -> None:
        nonlocal refused, answered
        content = mutated(whole, generator)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            layers_of(content, "w")
            answered += 1
        except ValueError:
            refused += 1
        assert tracemalloc.get_traced_memory()[1] - before < 20 * len(whole)

    tracemalloc.start()
    read()
    tracemalloc.stop()
    assert refused + answered >= 5000
    assert refused > 2000
    assert answered > 200  # a flipped bit among the numbers is another number


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "9,223,372,036,854,775,807 bytes with 0 left"),
        (b"\xff" * 12, "a number of more than 10 bytes"),
        (b"\x80", "that its message cuts off"),
        (b"\x00\x01", "a field of number 0"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0a\x01a", "no layer with weights"),
        (b"\x12\x08\x32\x06\x08\xff\xff\xff\xff\x0f", r"a blob of shape 4294967295×1×1×1 with 0 numbers"),
        (b"\x12\x07\x32\x05\x2a\x03abc", "3 bytes of numbers of 4 bytes"),
    ],
)
def test_lengths_and_shapes_are_never_trusted(content: bytes, message: str) -> None:
    """Nothing of a claimed size is looked at before the claim is checked; the error says at which byte."""
    with pytest.raises(ValueError, match=message):
        layers_of(content, "w")


def test_a_shape_of_no_numbers_costs_no_memory() -> None:
    """Dimensions whose product overflows 64 bits."""
    shape = b"\x3a\x0c\x0a\x0a" + b"\xff\xff\xff\xff\x07" * 2
    content = b"\x12" + bytes([len(shape) + 2]) + b"\x32" + bytes([len(shape)]) + shape
    with pytest.raises(ValueError, match="with 0 numbers"):
        layers_of(content, "w")


def test_numpy_and_torch_agree_on_the_order_of_fc6(tmp_path: Path) -> None:
    """One place of one channel, by hand: the flattened index of (channel, row, column) is (c·k + y)·k + x."""
    net = small("vgg_a", head_kernel_size=3)
    arrays = arrays_of(net)
    channels = net.num_features
    flat = np.arange(24 * channels * 9, dtype=np.float32)
    arrays["fc6"] = (flat.reshape(24, channels, 3, 3), arrays["fc6"][1])
    found = read_weights(write_caffe(tmp_path / "w", arrays)).tensors["pre_logits.fc1.weight"]
    assert found[5, 7, 2, 1] == 5 * channels * 9 + (7 * 3 + 2) * 3 + 1
