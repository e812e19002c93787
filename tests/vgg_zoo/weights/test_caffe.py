"""Caffe's files beside OpenCV, which reads and runs them too."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.helpers import small
from tests.vgg_zoo.weights.formats import caffe, in_oxfords_layout, prototxt
from tests.vgg_zoo.weights.test_read import weights
from vgg_zoo.dense import class_score_map
from vgg_zoo.inference import inference_view
from vgg_zoo.weights.read import read_weights


def opencvs(folder: Path, file: bytes, arrays: dict[str, np.ndarray], height: int, width: int) -> Any:
    """The net as OpenCV reads it."""
    (folder / "net.prototxt").write_text(prototxt(arrays, height, width))
    (folder / "net.caffemodel").write_bytes(file)
    return cv2.dnn.readNetFromCaffe(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("net", ["vgg_a", "vgg_c", "vgg_d", "vgg_e", "vgg_b_shallow"])
def test_opencv_reads_the_same_bits(net: str, version: int, tmp_path: Path) -> None:
    """Every weight and bias, in Oxford's layout."""
    arrays = in_oxfords_layout(weights(net), net)
    theirs = opencvs(tmp_path, caffe(arrays, version), arrays, 64, 64)
    ours = in_oxfords_layout(read_weights(tmp_path / "net.caffemodel")[0], net)
    assert ours.keys() == arrays.keys()
    for name, value in ours.items():
        read = theirs.getParam(name.removesuffix(" bias"), int(name.endswith(" bias")))
        assert np.array_equal(read.ravel().view(np.uint32), value.ravel().view(np.uint32)), name


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 50)])
@pytest.mark.parametrize("net", ["vgg_a", "vgg_d"])
def test_opencv_computes_our_logits(net: str, height: int, width: int, version: int, tmp_path: Path) -> None:
    """BGR in, as Caffe; 40×50 pixels give 2×2 cells only with ceil_mode's pooling."""
    expected = weights(net)
    arrays = in_oxfords_layout(expected, net)
    theirs = opencvs(tmp_path, caffe(arrays, version), arrays, height, width)
    assert_computes(theirs, tmp_path, net, height, width)


def test_opencvs_dense_map_is_ours(tmp_path: Path) -> None:
    """FC layers as convolutions over 135×170 pixels: 4×5 cells of the score map by ceil, 3×4 by floor."""
    expected = weights("vgg_d")
    arrays = in_oxfords_layout(expected, "vgg_d")
    arrays["fc6"] = expected["pre_logits.fc1.weight"].numpy()
    arrays["fc7"], arrays["fc8"] = arrays["fc7"][:, :, None, None], arrays["fc8"][:, :, None, None]
    theirs = opencvs(tmp_path, caffe(arrays, version=2), arrays, 135, 170)
    found = assert_computes(theirs, tmp_path, "vgg_d", 135, 170)
    assert found.shape[2:] == (4, 5)


def assert_computes(theirs: Any, folder: Path, name: str, height: int, width: int) -> torch.Tensor:
    """Our net with the file's weights gives OpenCV's class score map, and floor's pooling another."""
    ours = small(name)
    ours.load_state_dict(read_weights(folder / "net.caffemodel")[0])
    images = torch.from_numpy(np.random.default_rng(0).normal(0, 60, (1, 3, height, width)).astype(np.float32))
    theirs.setInput(images.flip(1).contiguous().numpy())
    expected = torch.from_numpy(theirs.forward("fc8"))
    with torch.inference_mode():
        found = class_score_map(inference_view(ours, ceil_mode=True), images)
    torch.testing.assert_close(found, expected.view(found.shape), rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    if height % 32:
        with torch.inference_mode():
            floor = class_score_map(ours, images)
        assert floor.shape != found.shape or not torch.allclose(floor, found, rtol=1e-3)
    return found
