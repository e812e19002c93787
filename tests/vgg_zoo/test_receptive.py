"""Receptive fields against the pixels that really change a cell, and tiles of trunks that are not the paper's."""

from typing import Any

import pytest
import timm
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers import small
from vgg_zoo.dense import class_score_map, tiled_class_score_map, tiles
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.inference import inference_view
from vgg_zoo.layers import check_is_vgg, layers_of, smallest_side
from vgg_zoo.receptive import cells_of, field_of, smallest_with


@st.composite
def stacks(draw: Any) -> list[nn.Module]:
    """Convs, pools and activations of all kinds, one channel; NaN in a pixel reaches every cell that sees it."""
    modules: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 5))):
        kind, kernel = draw(st.sampled_from(["conv", "conv", "max", "mean", "act"])), draw(st.integers(1, 4))
        stride = draw(st.integers(1, 3))
        if kind == "conv":
            dilation = draw(st.integers(1, 2))
            padding = "same" if stride == 1 and kernel % 2 and draw(st.booleans()) else draw(st.integers(0, kernel - 1))
            modules.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation))
        elif kind == "act":
            modules.append(draw(st.sampled_from([nn.LeakyReLU(), nn.ELU(), nn.Identity(), nn.Sequential(nn.ReLU())])))
        else:
            pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
            padding = draw(st.integers(0, kernel // 2))
            modules.append(pool(kernel, stride, padding=padding, ceil_mode=draw(st.booleans())))
    return modules


@settings(max_examples=60, deadline=None)
@given(stacks(), st.integers(20, 70), st.data())
@torch.no_grad()
def test_a_field_is_what_changes_a_cell(modules: list[nn.Module], length: int, data: Any) -> None:
    """Numbers of cells, and the cells that one NaN reaches, for any stack of convs, pools and activations."""
    net = nn.Sequential(*modules)
    for module in net:
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    expected = cells_of(modules, length)
    assume(expected > 0)
    image = torch.zeros(1, 1, length, length)
    pixel = data.draw(st.integers(0, length - 1))
    image[..., pixel, :] = torch.nan
    found = net(image)
    assert found.shape[2] == expected
    stride, before, size = field_of(modules)
    reached = {cell for cell in range(expected) if 0 <= pixel - (cell * stride - before) < size}
    assert set(found[0, 0].isnan().any(1).nonzero().flatten().tolist()) <= reached


@settings(max_examples=60, deadline=None)
@given(stacks(), st.integers(40, 130), st.integers(40, 130), st.integers(4, 50))
@torch.no_grad()
def test_tiles_of_any_stack_give_the_map_of_the_whole(
    modules: list[nn.Module], height: int, width: int, side: int
) -> None:
    """Strides, dilation, padding, ceil pooling, average pooling: in float64 equal up to rounding."""
    net = nn.Sequential(*modules).double()
    pixels = torch.randint(0, 256, (1, height, width), dtype=torch.uint8)
    assume(min(cells_of(modules, height, 0), cells_of(modules, width, 1)) > 0)
    whole = net(pixels[None].double())
    rows: dict[int, list[torch.Tensor]] = {}
    for top, tile in tiles([net], net, pixels, torch.Tensor.double, side * side):
        rows.setdefault(top, []).append(tile)
    tiled = torch.cat([torch.cat(row, 3) for row in rows.values()], 2)
    torch.testing.assert_close(tiled, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "size"), [("vgg_a", 150), ("vgg_b", 156), ("vgg_d", 212), ("vgg_e", 268)])
def test_the_papers_nets(name: str, size: int) -> None:
    """A cell every 32 pixels, the receptive fields of pool5 that the literature has, and 224 pixels for a crop."""
    net = timm.create_model(name, device="meta")
    assert field_of([net.features]) == (32, (size - 32) // 2, size)
    assert smallest_side(net) == smallest_with([net.features], 7) == 224


def gatys(net: Any) -> Any:
    """Average- in place of max-pools, as in style transfer."""
    for place, module in enumerate(net.features):
        if isinstance(module, nn.MaxPool2d):
            net.features[place] = nn.AvgPool2d(2, 2)
    return net


def deeplab(net: Any) -> Any:
    """Pools 4 and 5 of stride 1, and dilated convs in the last stage: a cell every 8 pixels."""
    pools = [place for place, module in enumerate(net.features) if isinstance(module, nn.MaxPool2d)]
    for place in pools[3:]:
        net.features[place] = nn.MaxPool2d(3, 1, padding=1)
    for module in net.features[pools[3] :]:
        if isinstance(module, nn.Conv2d):
            module.dilation = module.padding = (2, 2)
    return net


def leaky(net: Any) -> Any:
    """LeakyReLU in place of ReLU."""
    for place, module in enumerate(net.features):
        if isinstance(module, nn.ReLU):
            net.features[place] = nn.LeakyReLU(0.1, inplace=True)
    return net


@pytest.mark.parametrize("change", [gatys, deeplab, leaky])
@torch.no_grad()
def test_trunks_that_are_not_the_papers(change: Any) -> None:
    """Tiles give the map of the whole, whatever the pools, strides and activations; layers keep the paper's names."""
    net = change(small()).double()
    pixels = torch.randint(0, 256, (3, 333, 221), dtype=torch.uint8)
    view = inference_view(net, ceil_mode=False)
    whole = class_score_map(view, pixels[None].double())
    tiled = tiled_class_score_map(view, pixels, torch.Tensor.double, 96 * 96)
    torch.testing.assert_close(tiled, whole, rtol=1e-9, atol=1e-9)
    assert list(layers_of(net)) == list(layers_of(small()))
    posteriors = [DenseEvaluator(net, (150,), most_pixels=limit) for limit in (10**7, 150 * 100)]
    photo = pixels.permute(1, 2, 0).numpy()
    torch.testing.assert_close(posteriors[0]([photo]), posteriors[1]([photo]), rtol=1e-6, atol=1e-9)
    single = change(small(width_multiplier=0.5))  # whose fast copy has transformed convolutions
    for ceil_mode in (False, True):
        fast, exact = (DenseEvaluator(single, 150, ceil_mode=ceil_mode, exact=exact) for exact in (False, True))
        assert fast.arithmetic == "winograd"
        torch.testing.assert_close(fast([photo]), exact([photo]), rtol=1e-4, atol=1e-6)


def test_a_layer_before_its_activation() -> None:
    """Of a leaky net, of one with batch norm, and of a conv without any."""
    net = leaky(small())
    layer = layers_of(net)["conv1_1"]
    assert (layer.before, layer.after) == (1, 2)
    net.features[1] = nn.Identity()
    assert layers_of(net)["conv1_1"].after == 2
    norm = layers_of(timm.create_model("vgg11_bn", device="meta"))["conv1_1"]
    assert (norm.before, norm.after) == (2, 3)


@pytest.mark.parametrize(
    "module",
    [nn.InstanceNorm2d(6), nn.AdaptiveAvgPool2d(4), nn.BatchNorm2d(6, track_running_stats=False), nn.Flatten()],
)
def test_what_sees_the_whole_map_is_refused_by_name(module: nn.Module) -> None:
    """Before anything is computed."""
    net: Any = small()
    net.features[1] = module
    with pytest.raises(ValueError, match=f"a net with a {type(module).__name__} in its trunk \\(features.1\\)"):
        check_is_vgg(net)
    net = small()
    net.features[0].padding_mode = "circular"
    with pytest.raises(ValueError, match="Conv2d in its trunk"):
        DenseEvaluator(net)
