"""Oxford's own convolutions of net D, through our readers, beside ONNX Runtime.

They are fetched by `tests/vgg_zoo/weights/oxford_trunk.py`.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from tests.vgg_zoo.weights.formats import Arrays, caffe, keras
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.weights.read import read_weights

POOL5 = "functional_1/block5_pool_1/MaxPool2d:0"
SIDE = 240
"""Pixels of that net's images."""

pytestmark = pytest.mark.slow


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
