"""The paper's names of a net's layers, and their maps, against the trunk walked step by step."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers import NETS, small
from vgg_zoo.layers import layer_maps, layer_of, layers_of, smallest_side


def walked(net: Any, images: Tensor, ceil_mode: bool = False) -> dict[str, tuple[Tensor, Tensor]]:
    """Every layer's map before and after its ReLU, by the names of Table 1: written apart from `vgg_zoo.layers`."""
    maps: dict[str, tuple[Tensor, Tensor]] = {}
    stage, place, x, last = 1, 0, images, ""
    for module in net.features.modules():
        if isinstance(module, nn.Conv2d):
            place += 1
            last = f"conv{stage}_{place}"
            x = F.conv2d(x, module.weight, module.bias, padding=module.weight.shape[-1] // 2)
            maps[last] = (x, x.clamp(min=0))
        elif isinstance(module, nn.BatchNorm2d):
            x = F.batch_norm(x, module.running_mean, module.running_var, module.weight, module.bias)
            maps[last] = (x, x.clamp(min=0))
        elif isinstance(module, nn.ReLU):
            x = x.clamp(min=0)
        elif isinstance(module, nn.LocalResponseNorm):
            x = F.local_response_norm(x, 5, 5e-4, 0.75, 2.0)
            maps[f"lrn{stage}"] = (x, x)
        elif isinstance(module, nn.MaxPool2d):
            x = F.max_pool2d(x, 2, 2, ceil_mode=ceil_mode)
            maps[f"pool{stage}"] = (x, x)
            stage, place = stage + 1, 0
    k = net.pre_logits.fc1.weight.shape[-1]
    x = F.adaptive_avg_pool2d(x, (max(x.shape[2], k), max(x.shape[3], k)))
    for name, fc in (("fc6", net.pre_logits.fc1), ("fc7", net.pre_logits.fc2)):
        x = F.conv2d(x, fc.weight, fc.bias)
        maps[name] = (x, x.clamp(min=0))
        x = maps[name][1]
    return maps


def with_batch_normalisation() -> Any:
    """A net like timm's vgg16_bn, but narrow."""
    column = [4, 4, "M", 5, "M", 6, 7, "M", 6, "M", 6, "M"]
    net = timm.models.VGG(column, num_classes=2, mlp_ratio=0.01, norm_layer=nn.BatchNorm2d).eval()
    for module in net.features:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
    return net


@pytest.mark.parametrize("name", [*NETS, "vgg16_bn"])
@torch.no_grad()
def test_every_layer_has_the_papers_name_and_its_map(name: str) -> None:
    """In order, with its channels, before and after the ReLU, at once and alone."""
    net = (small(name) if name in NETS else with_batch_normalisation()).double()
    images = torch.randn(2, 3, 70, 97, dtype=torch.float64)
    expected, layers = walked(net, images), layers_of(net)
    assert list(layers) == list(expected)
    for before_or_after, relu in ((0, False), (1, True)):
        maps = layer_maps(net, images, list(layers.values()), relu)
        assert list(maps) == list(expected)
        for layer, found in maps.items():
            assert found.shape[1] == layers[layer].channels
            torch.testing.assert_close(found, expected[layer][before_or_after])
    alone = layer_maps(net, images, [layers["conv3_1"]], relu=False)["conv3_1"]
    torch.testing.assert_close(alone, expected["conv3_1"][0])


def test_the_layers_are_those_of_table_1() -> None:
    """Net D: thirteen convs, five pools, two FC layers; A-LRN has an LRN."""
    names = list(layers_of(small("vgg_d")))
    assert [sum(name.startswith(kind) for name in names) for kind in ("conv", "pool", "fc")] == [13, 5, 2]
    assert list(layers_of(small("vgg_a_lrn")))[:3] == ["conv1_1", "lrn1", "pool1"]


def test_a_layer_that_the_net_has_not_is_refused_with_those_it_has() -> None:
    """Names differ between nets: A has no conv1_2."""
    with pytest.raises(ValueError, match=r"no layer 'conv1_2'; it has conv1_1, pool1, .*, pool5, fc6, fc7"):
        layer_of(small("vgg_a"), "conv1_2")


def test_nothing_behind_the_layer_runs() -> None:
    """Not even the next module."""
    net = small()
    ran: list[nn.Module] = []
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    layer_maps(net, torch.zeros(1, 3, 64, 64), [layer_of(net, "conv2_1")])
    assert ran == list(net.features)[:7]


def test_the_smallest_side_is_the_crop_or_one_cell() -> None:
    """224 for the paper's FC layers, 32 in the trunk."""
    with torch.device("meta"):
        net = timm.create_model("vgg_a")
    layers = layers_of(net)
    assert [smallest_side(net, layers[name]) for name in ("fc7", "fc6", "pool5", "conv1_1")] == [224, 224, 32, 32]


def test_a_net_whose_fc_layers_were_cut_off_still_has_its_trunk() -> None:
    """As timm's `prune_intermediate_layers` does it."""
    net = small()
    net.pre_logits = nn.Identity()
    assert list(layers_of(net))[-1] == "pool5"
    assert layer_maps(net, torch.zeros(1, 3, 64, 64), [layer_of(net, "pool5")])["pool5"].shape == (1, 51, 2, 2)
