"""The ONNX file beside the nets in PyTorch, computed by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.repository.dense_onnx import write_dense_onnx
from tests.helpers import NETS, small
from vgg_zoo.dense import class_score_map
from vgg_zoo.inference import inference_view


def session(path: Path) -> Any:
    """ONNX Runtime on the file."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def difference(runtime: Any, net: Any, images: torch.Tensor, ceil_mode: bool = False) -> float:
    """Largest difference of the class score map, beside its largest value; that of the posteriors is checked too."""
    score_map, posteriors = runtime.run(["class_score_map", "posteriors"], {"images": images.numpy()})
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1) * 255 for key in ("mean", "std"))
    with torch.inference_mode():
        expected = class_score_map(inference_view(net, ceil_mode), (images - mean) / std)
    assert score_map.shape == expected.shape
    assert np.allclose(posteriors, expected.mean((2, 3)).softmax(1).numpy(), atol=1e-5)
    return float((torch.from_numpy(score_map) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_every_net_gives_its_class_score_map(name: str, ceil_mode: bool, tmp_path: Path) -> None:
    """1×1 and 5×5 convs, LRN, both ways to pool; at five sizes and batches."""
    net = small(name)
    write_dense_onnx(net, tmp_path / "net.onnx", ceil_mode)
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    runtime = session(tmp_path / "net.onnx")
    for batch, height, width in ((1, 64, 64), (2, 64, 97), (1, 161, 70), (3, 96, 64), (1, 101, 199)):
        images = torch.randint(0, 256, (batch, 3, height, width)).float()
        assert difference(runtime, net, images, ceil_mode) < 1e-5


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small net D and its runtime."""
    path, net = tmp_path_factory.mktemp("onnx") / "net.onnx", small("vgg_d")
    write_dense_onnx(net, path)
    return session(path), net


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(64, 200), st.integers(64, 200))
def test_any_size_and_batch(exported: Any, batch: int, height: int, width: int) -> None:
    """Batch, height and width are free."""
    runtime, net = exported
    assert difference(runtime, net, torch.randint(0, 256, (batch, 3, height, width)).float()) < 1e-5


def test_the_same_net_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the day or the machine is in the file."""
    net = small("vgg_a")
    for name in ("one", "two"):
        write_dense_onnx(net, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
