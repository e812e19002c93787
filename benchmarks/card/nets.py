"""Net D as the zoo, timm and torchvision have it, and all three narrow."""

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import vgg_zoo  # noqa: F401 (registers the nets)
from benchmarks.card.report import Setting

NARROW = 16
"""Divides the widths of small nets."""
HIDDEN = 64
"""Width of their first two FC layers."""

_D: list[Any] = [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"]
_TRUNK = [width if width == "M" else width // NARROW for width in _D]


def ours(small: bool, **arguments: Any) -> Any:
    """The zoo's."""
    narrow: dict[str, Any] = {"width_multiplier": 1 / NARROW, "head_hidden_size": HIDDEN} if small else {}
    return timm.create_model("vgg_d", **narrow, **arguments)


def timms(small: bool, drop_rate: float = 0.5) -> Any:
    """timm's vgg16, whose state dict is that of ours."""
    if not small:
        return timm.create_model("vgg16", drop_rate=drop_rate)
    net: Any = timm.models.VGG(_TRUNK, mlp_ratio=HIDDEN / 4096, drop_rate=drop_rate)
    net.pre_logits = timm.models.vgg.ConvMlp(_TRUNK[-2], HIDDEN, 7, drop_rate=drop_rate)
    net.head = timm.layers.ClassifierHead(HIDDEN, 1000, drop_rate=drop_rate)
    net.pretrained_cfg = ours(small, device="meta").pretrained_cfg
    return net


def torchvisions(small: bool) -> nn.Module:
    """torchvision's vgg16; its dropout is 0.5."""
    if not small:
        return torchvision.models.vgg16()
    net = torchvision.models.VGG(torchvision.models.vgg.make_layers(_TRUNK), init_weights=False)
    net.classifier[0] = nn.Linear(_TRUNK[-2] * 49, HIDDEN)
    net.classifier[3] = nn.Linear(HIDDEN, HIDDEN)
    net.classifier[6] = nn.Linear(HIDDEN, 1000)
    return net


PEERS: dict[str, Callable[[bool], Any]] = {"ours": ours, "timm": timms, "torchvision": torchvisions}
"""From `small` to a net with random weights, which drops half in training."""


def flops(setting: Setting, *shape: int, run: Callable[[Any, torch.Tensor], Any] | None = None) -> int:
    """Floating-point operations of a forward pass of ours, two for each multiplication, counted without computing it.

    Args:
        setting: Of the net.
        shape: (B, 3, H, W) of its input.
        run: From the net and the input to what counts; the whole net by default.
    """
    with torch.device("meta"):
        net, images = ours(setting.small).eval(), torch.empty(shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(net, images) if run else net(images)
    return int(counter.get_total_flops())
