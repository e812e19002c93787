"""The class score map: against loops written apart, and by tiles."""

import os
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.forked import HEAVY, run_forked
from tests.helpers import NETS, TIMM_NAMES, small
from vgg_zoo import dense
from vgg_zoo.dense import class_score_map, tiled_class_score_map
from vgg_zoo.inference import inference_view
from vgg_zoo.layers import check_is_vgg, smallest_side


def by_loops(net: Any, images: Tensor, ceil_mode: bool = False) -> Tensor:
    """The paper's words, slowly: the trunk layer by layer, then the three FC layers at every position of the map."""
    x = images
    for module in net.features.modules():
        if isinstance(module, nn.Conv2d):
            x = F.conv2d(x, module.weight, module.bias, padding=module.weight.shape[-1] // 2)
        elif isinstance(module, nn.ReLU):
            x = x.clamp(min=0)
        elif isinstance(module, nn.LocalResponseNorm):
            squares = F.pad(x**2, (0, 0, 0, 0, 2, 2))
            window = sum(squares[:, place : place + x.shape[1]] for place in range(5))
            x = x / (2 + 1e-4 * window) ** 0.75
        elif isinstance(module, nn.MaxPool2d):
            x = F.max_pool2d(x, 2, 2, ceil_mode=ceil_mode)
    fc6, fc7, fc8 = net.pre_logits.fc1, net.pre_logits.fc2, net.head.fc
    k = fc6.weight.shape[-1]
    rows, columns = x.shape[2] - k + 1, x.shape[3] - k + 1
    scores = torch.zeros(len(x), fc8.out_features, rows, columns, dtype=x.dtype)
    for row in range(rows):
        for column in range(columns):
            window = x[:, :, row : row + k, column : column + k].reshape(len(x), -1)
            hidden = (window @ fc6.weight.flatten(1).T + fc6.bias).clamp(min=0)
            hidden = (hidden @ fc7.weight.flatten(1).T + fc7.bias).clamp(min=0)
            scores[:, :, row, column] = hidden @ fc8.weight.T + fc8.bias
    return scores


def as_it_is(pixels: Tensor) -> Tensor:
    """Pixels as the input of a double-precision net."""
    return pixels.double() - 110


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_the_map_is_the_fc_layers_at_every_place(name: str, ceil_mode: bool) -> None:
    """Every net, images that are not square, floor and Caffe's ceil pooling."""
    net = small(name).double()
    images = torch.randn(2, 3, 107, 171, dtype=torch.float64) * 60
    scores = class_score_map(inference_view(net, ceil_mode), images)
    assert scores.shape[2:] == ((3, 5) if ceil_mode else (2, 4))
    torch.testing.assert_close(scores, by_loops(net, images, ceil_mode))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TIMM_NAMES.values()))
@torch.no_grad()
def test_timms_nets_are_applied_densely_too(name: str) -> None:
    """The mean of the map is timm's own output."""
    net = timm.create_model(name, num_classes=3).eval()
    images = torch.randn(1, 3, 256, 320)
    scores = class_score_map(net, images)
    assert scores.shape == (1, 3, 2, 4)
    torch.testing.assert_close(scores.mean((2, 3)), net(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_strips_hold_each_window_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few windows a strip may have, the FC layers give the map of the whole."""
    net, pixels = small().double(), torch.randint(0, 256, (3, 230, 170), dtype=torch.uint8)
    whole = class_score_map(net, as_it_is(pixels[None]))
    for windows in (1, 7, 10):
        monkeypatch.setattr(dense, "_MOST_WINDOWS", windows)
        torch.testing.assert_close(tiled_class_score_map(net, pixels, as_it_is, 2**20), whole)


def test_the_map_has_the_papers_size() -> None:
    """⌊side/32⌋ − 6: Q = 224, 256, 288, 352, 384, 416, 512, 640, 768 → 1, 2, 3, 5, 6, 7, 10, 14, 18."""
    with torch.device("meta"):
        net = timm.create_model("vgg_d").eval()
        sizes = [
            class_score_map(net, torch.empty(1, 3, side, side)).shape[-1]
            for side in (224, 256, 288, 352, 384, 416, 512, 640, 768)
        ]
    assert sizes == [1, 2, 3, 5, 6, 7, 10, 14, 18]
    assert smallest_side(net) == 224


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(NETS),
    st.integers(64, 420),
    st.integers(64, 420),
    st.sampled_from([64 * 64, 96 * 96, 160 * 160]),
    st.booleans(),
)
@torch.no_grad()
def test_tiles_give_the_map_of_the_whole(name: str, height: int, width: int, most: int, ceil_mode: bool) -> None:
    """Any net, size, tile and pooling: equal up to rounding."""
    net = small(name).double()
    pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    view = inference_view(net, ceil_mode)
    whole = class_score_map(view, as_it_is(pixels[None]))
    tiled = tiled_class_score_map(view, pixels, as_it_is, most)
    torch.testing.assert_close(tiled, whole, rtol=1e-9, atol=1e-9)


def test_the_caches_of_convolutions_are_small_unless_the_user_says_otherwise() -> None:
    """Whatever imports the dense evaluation; what that saves is in benchmarks/results/streaming.md."""
    code = "import os, vgg_zoo.dense; print(*(v for k, v in sorted(os.environ.items()) if 'CACHE_CAPACITY' in k))"
    others = {key: value for key, value in os.environ.items() if not key.endswith("CACHE_CAPACITY")}
    for chosen, expected in (({}, "48 48\n"), ({"LRU_CACHE_CAPACITY": "7"}, "7 48\n")):
        done = run_forked(["-c", code], preload=HEAVY, environment=others | chosen)
        assert done.stdout == expected, done.stderr


@pytest.mark.parametrize("net", [nn.Linear(2, 2), timm.create_model("resnet18", num_classes=2), small(num_classes=0)])
def test_what_is_no_vgg_is_refused(net: nn.Module) -> None:
    """The message says what it takes."""
    with pytest.raises(ValueError, match=f"a {type(net).__name__} cannot be applied densely"):
        check_is_vgg(net)
