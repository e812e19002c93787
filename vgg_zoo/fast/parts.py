"""The parts of a VGG made of fast layers: trunk, fc6 with fc7, and head."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import timm.models
import torch
from timm.layers import ClassifierHead
from timm.models.vgg import ConvMlp
from torch import Tensor, nn

from vgg_zoo.fast.bf16 import Bf16FullyConnected, conv_for
from vgg_zoo.fast.layers import FastConv, FastFullyConnected, FastLinear, FastLRN, FastTrunk, run_steps
from vgg_zoo.model import VGG, HiddenLayers, at_least

_KNOWN = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.Sequential, HiddenLayers, ConvMlp, ClassifierHead)


def check_can_be_copied(model: nn.Module) -> None:
    """Refuse a net with something that a copy would not reproduce.

    Raises:
        ValueError: It has hooks, its own forward, or a layer with weights that these nets do not have.
    """
    for name in ("forward", "forward_features", "forward_head"):
        if getattr(type(model), name) not in (getattr(VGG, name), getattr(timm.models.VGG, name)):
            raise ValueError(f"a {type(model).__name__} has a {name} of its own; use the model itself")
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"{name or 'the model'} has hooks, which a copy would not call; remove them first")
        if module is not model and type(module) not in _KNOWN and next(module.parameters(), None) is not None:
            raise ValueError(
                f"{name} is a {type(module).__name__}, which the paper's nets and timm's VGGs do not have; "
                "use the model itself"
            )


def fast_trunk(features: nn.Module, kernel: str, bf16: bool) -> FastTrunk:
    """The trunk; layers keep their indices, and a batch norm folded into its convolution becomes `nn.Identity`."""
    first = next(module for module in features.modules() if isinstance(module, nn.Conv2d))
    normalised = any(isinstance(module, nn.LocalResponseNorm) for module in features.modules())

    def conv_of(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> FastConv:
        if not bf16:
            return FastConv(conv, weight, bias, kernel)
        return conv_for(conv, weight, bias, kernel, conv is first, normalised)

    return FastTrunk(*_layers(list(features.children()), kernel, conv_of))


class FastHiddenLayers(nn.Module):
    """fc6 and fc7, with the names of `HiddenLayers`."""

    def __init__(self, hidden: Any, kernel: str, bf16: bool) -> None:
        super().__init__()
        layer = Bf16FullyConnected if bf16 else FastFullyConnected
        self.input_kernel_size = int(hidden.input_kernel_size)
        self.fc1 = layer(hidden.fc1.weight.detach(), _bias(hidden.fc1), kernel)
        self.act1 = copy.deepcopy(hidden.act1)
        self.drop = nn.Identity()
        self.fc2 = layer(hidden.fc2.weight.detach(), _bias(hidden.fc2), kernel)
        self.act2 = copy.deepcopy(hidden.act2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, hidden, max(h, k) - k + 1, max(w, k) - k + 1)."""
        x = at_least(x, self.input_kernel_size)
        return run_steps([self.fc1, self.act1, self.fc2, self.act2], x)


def fast_hidden_layers(hidden: Any, kernel: str, bf16: bool) -> Any:
    """fc6 and fc7, or the module that a net without FC layers has instead."""
    return FastHiddenLayers(hidden, kernel, bf16) if hasattr(hidden, "fc1") else copy.deepcopy(hidden)


def fast_head(head: Any, kernel: str) -> Any:
    """The head with its pooling, and fc8 if it has one."""
    if not isinstance(head, ClassifierHead):
        return copy.deepcopy(head)
    fc = head.fc
    memo = {id(tensor): tensor for tensor in head.parameters()}  # so that they are not copied in vain
    found = copy.deepcopy(head, memo)
    if isinstance(fc, nn.Linear):
        bias = torch.zeros_like(fc.weight[:, 0]) if fc.bias is None else fc.bias.detach()
        found.fc = FastLinear(fc.weight.detach(), bias, kernel)
    return found


def _layers(children: Sequence[nn.Module], kernel: str, conv_of: Callable[..., FastConv]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for child, following in zip(children, [*children[1:], None], strict=True):
        if isinstance(child, nn.Sequential):
            layers.append(nn.Sequential(*_layers(list(child.children()), kernel, conv_of)))
        elif isinstance(child, nn.Conv2d):
            weight, bias = child.weight.detach(), _bias(child)
            if isinstance(following, nn.BatchNorm2d):
                weight, bias = _folded(weight, bias, following)
            layers.append(conv_of(child, weight, bias))
        elif isinstance(child, nn.BatchNorm2d):
            layers.append(nn.Identity())
        elif isinstance(child, nn.LocalResponseNorm):
            layers.append(FastLRN(child, kernel))
        else:
            layers.append(copy.deepcopy(child))
    return layers


def _folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A convolution's weight and bias with the following batch norm folded in, computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    folded = weight.double() * scale.view(-1, 1, 1, 1)
    return folded.to(weight.dtype), (bias.double() * scale + shift).to(bias.dtype)


def _bias(layer: Any) -> Tensor:
    return torch.zeros_like(layer.weight[:, 0, 0, 0]) if layer.bias is None else layer.bias.detach()
