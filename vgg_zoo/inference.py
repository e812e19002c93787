"""Views of a net in eval mode, whatever mode its owner keeps it in.

The owner's net never changes, so another thread may train it, test it with other pooling, or save it meanwhile.
"""

from functools import partial
from types import MethodType
from typing import Any

from torch import nn

POOLS = nn.MaxPool2d | nn.AvgPool2d


def inference_view(net: nn.Module, ceil_mode: bool, frozen: bool = False) -> Any:
    """A second net in eval mode with the same weights, buffers and hooks.

    Args:
        net: A net in any mode, which does not change.
        ceil_mode: Pools round their size up, as in Caffe, not down, as in PyTorch.
        frozen: Weights have no gradient, which halves the cost of a backward pass to the images.
    """
    view = object.__new__(type(net))
    own = view.__dict__  # written to directly, because a module's own setattr would register the values
    own.update({name: _rebound(value, net, view) for name, value in net.__dict__.items()}, training=False)
    own["_modules"] = {
        name: None if child is None else inference_view(child, ceil_mode, frozen)
        for name, child in net._modules.items()
    }
    if frozen:
        own["_parameters"] = {name: None if w is None else w.detach() for name, w in net._parameters.items()}
    if isinstance(net, POOLS):
        own["ceil_mode"] = ceil_mode
    return view


def _rebound(value: Any, net: nn.Module, view: nn.Module) -> Any:
    """A method that was set on the module, such as Accelerate's `forward`, bound to the view."""
    if isinstance(value, MethodType) and value.__self__ is net:
        return MethodType(value.__func__, view)
    if isinstance(value, partial) and value.args[:1] == (net,):
        return partial(value.func, view, *value.args[1:], **value.keywords)
    return value
