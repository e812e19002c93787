"""The timm adapter: one row of `default_cfgs` for each set of weights, and one registered function for each net."""

from functools import lru_cache
from typing import Any, NamedTuple

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import generate_default_cfgs, register_model

from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.configurations import FC_KEYS, IMAGENET_MEAN, NAMES
from vgg_zoo.create import create
from vgg_zoo.model import VGG
from vgg_zoo.weights.oxford import OXFORD
from vgg_zoo.weights.published import PUBLISHED

__all__: list[str] = []  # timm's decorator adds each entrypoint's name

PAPER = {
    "paper_name": "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "paper_ids": "arXiv:1409.1556v6",
}


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "features.0",
        "classifier": FC_KEYS["fc8"],
        **PAPER,
        **kwargs,
    }


class Reported(NamedTuple):
    """Errors on ILSVRC-2012's validation images in percent, as reported by the source of the weights.

    Attributes:
        top1: Error of the likeliest class.
        top5: Error of the five likeliest classes.
        test: How they were measured.
    """

    top1: float
    top5: float
    test: str


REPORTED = {
    "vgg_a.tv_in1k": Reported(30.95, 11.37, "one 224-pixel crop"),
    "vgg_b.tv_in1k": Reported(30.05, 10.74, "one 224-pixel crop"),
    "vgg_d.tv_in1k": Reported(28.41, 9.6, "one 224-pixel crop"),
    "vgg_e.tv_in1k": Reported(27.6, 9.12, "one 224-pixel crop"),
    "vgg_d.oxford_in1k": Reported(24.8, 7.5, "dense at Q = 256, 384, 512"),
    "vgg_e.oxford_in1k": Reported(24.8, 7.5, "dense at Q = 256, 384, 512"),
}
"""torchvision's errors are from timm's results file, the paper's from its Table 4."""


def _torchvision_cfg(name: str, hub_name: str) -> dict[str, Any]:
    """torchvision's weights, as timm publishes them."""
    top1, top5, test = REPORTED[name]
    return _cfg(
        hf_hub_id=f"timm/{hub_name}.tv_in1k",
        license="bsd-3-clause",
        origin_url="https://github.com/pytorch/vision",
        description=f"torchvision's training, not the paper's: {top1}% top-1 and {top5}% top-5 error on {test}",
    )


def _oxford_cfg(name: str) -> dict[str, Any]:
    """The paper's own weights, as Oxford publishes them."""
    top1, top5, test = REPORTED[name]
    return _cfg(
        url=OXFORD[name.partition(".")[0]].url,
        mean=tuple(value / 255 for value in IMAGENET_MEAN),
        std=(1 / 255, 1 / 255, 1 / 255),
        license="cc-by-4.0",
        origin_url="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
        description=f"the net that the paper measured, trained with S in [256; 512]: {top1}% top-1 and {top5}% top-5 "
        f"error, {test} (Table 4)",
    )


def untrained_cfg() -> dict[str, Any]:
    """The row of a net without published weights: its preprocessing is RGB minus the training mean (Sect. 2.1)."""
    return _cfg(
        mean=tuple(value / 255 for value in IMAGENET_MEAN),
        std=(1 / 255, 1 / 255, 1 / 255),
        license="apache-2.0",
        origin_url="https://arxiv.org/abs/1409.1556",
        description="no weights: nobody has published any for this net; the preprocessing is the paper's",
    )


NETS = tuple(NAMES)
"""Nets that classify."""

BOX_NETS = tuple(f"{net}_box" for net in NETS)
"""Nets that predict boxes (Appendix A). The paper uses D, with `regression="scr"` and `"pcr"`."""

_OWN: dict[str, dict[str, Any]] = {
    "vgg_a.tv_in1k": _torchvision_cfg("vgg_a.tv_in1k", "vgg11"),
    "vgg_a_lrn.untrained": untrained_cfg(),
    "vgg_b.tv_in1k": _torchvision_cfg("vgg_b.tv_in1k", "vgg13"),
    "vgg_b_shallow.untrained": untrained_cfg(),
    "vgg_c.untrained": untrained_cfg(),
    "vgg_d.tv_in1k": _torchvision_cfg("vgg_d.tv_in1k", "vgg16"),
    "vgg_d.oxford_in1k": _oxford_cfg("vgg_d.oxford_in1k"),
    "vgg_e.tv_in1k": _torchvision_cfg("vgg_e.tv_in1k", "vgg19"),
    "vgg_e.oxford_in1k": _oxford_cfg("vgg_e.oxford_in1k"),
    **{f"{net}.untrained": untrained_cfg() for net in BOX_NETS},  # nobody has published weights for these
}

OWN_NAMES = tuple(_OWN)
"""Rows that no publication may replace."""

default_cfgs = generate_default_cfgs({**_OWN, **{name: _cfg(**net.cfg) for name, net in PUBLISHED.items()}})


def _create(net: str, pretrained: bool, **kwargs: Any) -> Any:
    kind = BoxVGG if net in BOX_NETS else VGG
    return create(net, NAMES[net.removesuffix("_box")], pretrained, cfgs=default_cfgs, kind=kind, **kwargs)


@lru_cache
def predicts(name: str) -> str:
    """What a net predicts: "classes" or "boxes".

    Args:
        name: Name of the net, with or without a tag. Any other name, or an empty one, predicts classes.
    """
    net = name.partition(".")[0]
    if not timm.is_model(net) or timm.model_entrypoint(net).__module__.startswith("timm."):
        return VGG.predicts
    return str(timm.create_model(net, device="meta").predicts)


@register_model
def vgg_a(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration A: 11 weight layers (Table 1)."""
    return _create("vgg_a", pretrained, **kwargs)


@register_model
def vgg_a_lrn(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration A-LRN: A with local response normalisation after its first conv (Table 1)."""
    return _create("vgg_a_lrn", pretrained, **kwargs)


@register_model
def vgg_b(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration B: 13 weight layers (Table 1)."""
    return _create("vgg_b", pretrained, **kwargs)


@register_model
def vgg_b_shallow(pretrained: bool = False, **kwargs: Any) -> VGG:
    """The shallow net of Sect. 4.1: B with each pair of 3×3 convs replaced by one 5×5 conv."""
    return _create("vgg_b_shallow", pretrained, **kwargs)


@register_model
def vgg_c(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration C: 16 weight layers, three of them 1×1 convs (Table 1)."""
    return _create("vgg_c", pretrained, **kwargs)


@register_model
def vgg_d(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration D: 16 weight layers (Table 1)."""
    return _create("vgg_d", pretrained, **kwargs)


@register_model
def vgg_e(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration E: 19 weight layers (Table 1)."""
    return _create("vgg_e", pretrained, **kwargs)


@register_model
def vgg_a_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration A, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_a_box", pretrained, **kwargs)


@register_model
def vgg_a_lrn_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration A-LRN, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_a_lrn_box", pretrained, **kwargs)


@register_model
def vgg_b_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration B, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_b_box", pretrained, **kwargs)


@register_model
def vgg_b_shallow_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration shallow B, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_b_shallow_box", pretrained, **kwargs)


@register_model
def vgg_c_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration C, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_c_box", pretrained, **kwargs)


@register_model
def vgg_d_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration D, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_d_box", pretrained, **kwargs)


@register_model
def vgg_e_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration E, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_e_box", pretrained, **kwargs)
