"""What the nets compute: against slow references, Krizhevsky's equation, and timm's own VGG."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers import NETS, TIMM_NAMES, small
from vgg_zoo.model import fc_over_map, local_response_normalisation

SIZES = [(224, 224), (256, 256), (384, 384), (256, 341)]


@pytest.fixture(scope="module", params=[pytest.param(net, marks=pytest.mark.slow) for net in TIMM_NAMES])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A net at full size and timm's with the weights of ours."""
    torch.manual_seed(0)
    ours, timms = timm.create_model(request.param).eval(), timm.create_model(TIMM_NAMES[request.param]).eval()
    timms.load_state_dict(ours.state_dict())
    return ours, timms


@pytest.mark.parametrize("size", SIZES)
def test_the_same_weights_give_timms_outputs(pair: tuple[Any, Any], size: tuple[int, int]) -> None:
    """Logits, trunk and 4096-D activation, at and above the training size."""
    ours, timms = pair
    images = torch.randn(1, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), timms(images), rtol=1e-4, atol=1e-5)
        trunk = ours.forward_features(images)
        torch.testing.assert_close(trunk, timms.forward_features(images), rtol=1e-4, atol=1e-4)
        activation = ours.forward_head(trunk, pre_logits=True)
        assert activation.shape == (1, 4096)
        torch.testing.assert_close(activation, timms.forward_head(trunk, pre_logits=True), rtol=1e-4, atol=1e-4)


def test_timms_weights_give_timms_outputs(pair: tuple[Any, Any]) -> None:
    """The other direction: the keys and shapes are the same, and so are the outputs."""
    ours, timms = pair
    for parameter in timms.parameters():
        with torch.no_grad():
            parameter.mul_(1.01)
    ours.load_state_dict(timms.state_dict())
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), timms(images), rtol=1e-4, atol=1e-5)


def test_taps_are_timms(pair: tuple[Any, Any]) -> None:
    """All six, under timm's names and reductions."""
    ours, timms = pair
    assert ours.feature_info == timms.feature_info
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        for one, other in zip(*(m.forward_intermediates(images, intermediates_only=True) for m in pair), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
            assert one.is_contiguous()


def slow_fc_over_map(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One cell at a time: the FC layer on each window, as the paper describes it."""
    k_h, k_w = weight.shape[2:]
    rows, columns = x.shape[2] - k_h + 1, x.shape[3] - k_w + 1
    out = x.new_zeros(x.shape[0], len(weight), rows, columns)
    for image in range(x.shape[0]):
        for row in range(rows):
            for column in range(columns):
                window = x[image, :, row : row + k_h, column : column + k_w]
                for unit in range(len(weight)):
                    out[image, unit, row, column] = (window * weight[unit]).sum() + bias[unit]
    return out


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    kernel=st.integers(1, 4),
    more=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    nhwc=st.tuples(st.booleans(), st.booleans()),
    most_windows=st.sampled_from([0, 4, 1024]),
)
def test_an_fc_layer_over_a_map_is_the_layer_in_every_window(
    batch: int, channels: int, kernel: int, more: tuple[int, int], nhwc: tuple[bool, bool], most_windows: int
) -> None:
    """Whatever the size, the memory layouts, and whether a product or the library's convolution computes it."""
    x = torch.randn(batch, channels, kernel + more[0], kernel + more[1], dtype=torch.float64)
    weight, bias = torch.randn(3, channels, kernel, kernel, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    expected = slow_fc_over_map(x, weight, bias)
    formats = {True: torch.channels_last, False: torch.contiguous_format}
    x, weight = x.contiguous(memory_format=formats[nhwc[0]]), weight.contiguous(memory_format=formats[nhwc[1]])
    torch.testing.assert_close(fc_over_map(x, weight, bias, most_windows), expected)


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("size", [(2, 2), (3, 5)])
def test_gradients_of_an_fc_layer_are_those_of_the_convolution(size: tuple[int, int], nhwc: bool) -> None:
    """For the input, the weight and the bias."""
    torch.manual_seed(0)
    x = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, 2, 2, dtype=torch.float64)
    weight = (weight.contiguous(memory_format=torch.channels_last) if nhwc else weight).requires_grad_()
    bias = torch.randn(5, dtype=torch.float64, requires_grad=True)
    ours = torch.autograd.grad(fc_over_map(x, weight, bias).square().sum(), (x, weight, bias))
    theirs = torch.autograd.grad(F.conv2d(x, weight, bias).square().sum(), (x, weight, bias))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("size", "cells"), [((64, 64), (1, 1)), ((96, 131), (2, 3)), ((200, 70), (5, 1)), ((40, 96), (1, 2))]
)
def test_the_output_is_the_spatial_mean_of_the_class_score_map(
    name: str, size: tuple[int, int], cells: tuple[int, int]
) -> None:
    """A cell for each place of the first FC layer's kernel; smaller images are stretched to one (Sect. 3.2)."""
    model, images = small(name), torch.randn(2, 3, *size)
    with torch.inference_mode():
        score_map = model.class_score_map(images)
        assert score_map.shape == (2, 5, *cells)
        torch.testing.assert_close(score_map.mean((2, 3)), model(images))


def test_a_cell_of_the_map_is_the_net_on_that_window_of_the_trunks_map() -> None:
    """FC layers converted to convolutions are the FC layers at every position."""
    model = small()
    with torch.inference_mode():
        trunk = model.forward_features(torch.randn(1, 3, 128, 160))
        score_map = model.class_score_map(torch.zeros(1, 3, 64, 64))
        assert score_map.shape[2:] == (1, 1)
        whole = model.head.fc(model.pre_logits(trunk).movedim(1, -1)).movedim(-1, 1)
        for row in range(3):
            for column in range(4):
                cell = model.forward_head(trunk[:, :, row : row + 2, column : column + 2])
                torch.testing.assert_close(whole[:, :, row, column], cell)


def test_lrn_is_krizhevskys_equation() -> None:
    """b = a / (k + α Σ a²)^β over five neighbouring channels, with no division by n (Sect. 2.1)."""
    a = torch.randn(2, 9, 3, 4, dtype=torch.float64) * 50
    expected = torch.empty_like(a)
    for channel in range(9):
        neighbours = a[:, max(0, channel - 2) : channel + 3]
        expected[:, channel] = a[:, channel] / (2 + 1e-4 * neighbours.square().sum(1)) ** 0.75
    torch.testing.assert_close(local_response_normalisation()(a), expected, rtol=1e-12, atol=1e-12)


def test_lrn_stands_after_the_first_relu_and_keeps_net_as_keys() -> None:
    """Net A's weights load into A-LRN, whose first stage is then A's, normalised."""
    net_a, net_lrn = small("vgg_a"), small("vgg_a_lrn")
    net_lrn.load_state_dict(net_a.state_dict())
    images = torch.randn(2, 3, 64, 64) * 50
    with torch.inference_mode():
        stage = net_a.forward_intermediates(images, [0], intermediates_only=True)[0]
        normalised = net_lrn.forward_intermediates(images, [0], intermediates_only=True)[0]
        torch.testing.assert_close(normalised, local_response_normalisation()(stage))
        assert not torch.allclose(net_a(images), net_lrn(images), rtol=1e-3)


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (1, 1)])
def test_an_image_smaller_than_a_cell_is_refused(size: tuple[int, int]) -> None:
    """The message names its size and the smallest."""
    with pytest.raises(ValueError, match=rf"image of {size[0]}×{size[1]} pixels .* the smallest is 32×32"):
        small()(torch.zeros(1, 3, *size))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width_multiplier": 0.0}, r"width_multiplier must be above 0 .* got 0.0"),
        ({"head_hidden_size": 0}, "head_hidden_size must be at least 1; got 0"),
        ({"head_kernel_size": -7}, "head_kernel_size must be at least 1; got -7"),
        ({"in_chans": 0}, "in_chans must be at least 1; got 0"),
        ({"num_classes": -1}, "num_classes must be at least 0; got -1"),
        ({"output_stride": 16}, "output_stride must be 32.* got 16"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, Any], message: str) -> None:
    """The message names the argument, the value and what it may be."""
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_a_net_in_nhwc_computes_the_same() -> None:
    """Its FC weights are read as they lie, and its features come back in the images' layout."""
    model, images = small(), torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        expected = model(images)
        model.to(memory_format=torch.channels_last)
        nhwc = images.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(model(nhwc), expected)
        torch.testing.assert_close(model(images), expected)
        assert model.forward_features(images).is_contiguous()
        assert model.forward_features(nhwc).is_contiguous(memory_format=torch.channels_last)
