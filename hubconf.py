"""The nets for torch.hub: `torch.hub.load("path/to/the/checkout", "vgg_d", source="local", pretrained=False)`.

`torch.hub.list` names them, `torch.hub.help` says what each is and takes. They are the entrypoints that timm has, too.
"""

from collections.abc import Callable as _Callable
from functools import wraps as _wraps
from typing import Any as _Any

from vgg_zoo import entrypoints as _entrypoints

dependencies = ["torch", "torchvision", "timm", "huggingface_hub", "safetensors", "PIL", "numpy"]

_ARGUMENTS = """

Args:
    pretrained: With weights, the first of the net's row in `vgg-zoo list`; an error where nobody has published any.
    **kwargs: timm's and the net's own: `pretrained_cfg="oxford_in1k"` names other weights, `num_classes=10` gives a
        new last layer, `features_only=True` the maps of every stage, `width_multiplier=0.25` a narrower net.
"""


def _entry(name: str) -> _Callable[..., _Any]:
    entrypoint = getattr(_entrypoints, name)

    @_wraps(entrypoint)
    def make(pretrained: bool = False, **kwargs: _Any) -> _Any:
        return entrypoint(pretrained, **kwargs)

    make.__doc__ = f"{entrypoint.__doc__}{_ARGUMENTS}"
    return make


globals().update({name: _entry(name) for name in (*_entrypoints.NETS, *_entrypoints.BOX_NETS)})
