"""The losses of docs/perceptual_loss.md, beside torchvision's net."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from tests.helpers import in_torchvisions_layout

PAGE = Path(__file__).resolve().parents[2] / "docs/perceptual_loss.md"
PLACES = {
    "vgg_e": {"conv1_1": 1, "conv2_1": 6, "conv3_1": 11, "conv4_1": 20, "conv4_2": 22, "conv5_1": 29},
    "vgg_d": {"conv1_2": 3, "conv2_2": 8, "conv3_3": 15, "conv4_3": 22},
}
"""Of the ReLUs in torchvision's vgg19 and vgg16."""


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 (our own page)
    return names


def both(name: str, theirs: Any) -> tuple[Any, Any]:
    """Our net and torchvision's convolutions with the same weights."""
    torch.manual_seed(0)
    net: Any = timm.create_model(name, head_hidden_size=8, num_classes=2).eval()
    other = theirs(weights=None, init_weights=False).features.eval()
    weights = {key: value for key, value in in_torchvisions_layout(net.state_dict()).items() if "features" in key}
    other.load_state_dict({key.removeprefix("features."): value for key, value in weights.items()})
    return net, other


def maps_of(other: Any, images: Tensor, net: Any, places: dict[str, int]) -> dict[str, Tensor]:
    """By torchvision's modules, one after the other."""
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    found, wanted = {}, {place: name for name, place in places.items()}
    hidden = (images - mean) / std
    for place, module in enumerate(other):
        hidden = module(hidden).clone()
        if place in wanted:
            found[wanted[place]] = hidden.clone()
    return found


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Image, content and style."""
    images = torch.rand(3, 1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    return images[0].requires_grad_(), images[1], images[2]


def grams(maps: Tensor) -> Tensor:
    """Written apart from the page."""
    return torch.einsum("bchw,bdhw->bcd", maps, maps)


def same(ours: Tensor, theirs: Tensor, image: Tensor) -> None:
    """The losses, and their gradients to the image."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    (gradient,), (expected,) = (torch.autograd.grad(loss, image, retain_graph=True) for loss in (ours, theirs))
    assert expected.norm() > 0
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_gatys_losses_are_torchvisions(page: dict[str, Any]) -> None:
    """Of net E, with the normalisation of the paper: half the squares, and 1 / (4 N² M²)."""
    net, other = both("vgg_e", torchvision.models.vgg19)
    image, content, style = pictures()
    found, of_content, of_style = (maps_of(other, each, net, PLACES["vgg_e"]) for each in (image, content, style))
    expected = {"content": 0.5 * F.mse_loss(found["conv4_2"], of_content["conv4_2"], reduction="sum")}
    layers = [name for name in found if name.endswith("_1")]
    assert len(layers) == 5
    expected["style"] = sum(
        F.mse_loss(grams(found[name]), grams(of_style[name]), reduction="sum") / (20 * found[name].numel() ** 2)
        for name in layers
    )
    for weights, part in (((1, 0), "content"), ((0, 1), "style")):
        same(page["gatys"](net, image, content, style, *weights), expected[part], image)


def test_johnsons_losses_are_torchvisions(page: dict[str, Any]) -> None:
    """Of net D: mean squares of relu3_3, and Gram matrices over C · h · w."""
    net, other = both("vgg_d", torchvision.models.vgg16)
    image, content, style = pictures()
    found, of_content, of_style = (maps_of(other, each, net, PLACES["vgg_d"]) for each in (image, content, style))
    expected = [
        (found["conv3_3"] - of_content["conv3_3"]).square().mean(),
        sum(
            (grams(found[name]) / found[name].numel() - grams(of_style[name]) / of_style[name].numel()).square().sum()
            for name in found
        ),
    ]
    for ours, theirs in zip(page["johnson"](net, image, content, style), expected, strict=True):
        same(ours, theirs, image)
