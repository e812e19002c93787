"""The timm entrypoints of the nets that predict boxes (Appendix A): the names of those that classify, with `_box`.

The paper's own are D, with `regression="scr"` and `"pcr"`. Nobody has published weights of any.
"""

from functools import partial
from typing import Any

from timm.models import generate_default_cfgs, register_model

from .box_net import BoxVGG
from .entrypoints import create, published_cfgs, untrained_cfg

__all__: list[str] = []  # timm's decorator adds each entrypoint's name

_NETS = ("vgg_a", "vgg_a_lrn", "vgg_b", "vgg_b_shallow", "vgg_c", "vgg_d", "vgg_e")

_OWN = {f"{net}_box.untrained": untrained_cfg() for net in _NETS}

OWN_NAMES = tuple(_OWN)
"""Rows that no publication may replace."""

default_cfgs = generate_default_cfgs({**_OWN, **published_cfgs(boxes=True)})

_create = partial(create, kind=BoxVGG, cfgs=default_cfgs)


@register_model
def vgg_a_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration A, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_a_box", "A", pretrained, **kwargs)


@register_model
def vgg_a_lrn_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration A-LRN, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_a_lrn_box", "A-LRN", pretrained, **kwargs)


@register_model
def vgg_b_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration B, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_b_box", "B", pretrained, **kwargs)


@register_model
def vgg_b_shallow_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration shallow B, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_b_shallow_box", "shallow B", pretrained, **kwargs)


@register_model
def vgg_c_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration C, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_c_box", "C", pretrained, **kwargs)


@register_model
def vgg_d_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration D, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_d_box", "D", pretrained, **kwargs)


@register_model
def vgg_e_box(pretrained: bool = False, **kwargs: Any) -> BoxVGG:
    """Configuration E, predicting boxes: `regression="pcr"` or `"scr"`."""
    return _create("vgg_e_box", "E", pretrained, **kwargs)
