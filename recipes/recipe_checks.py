"""What a recipe's fields must be: their types, and a net of this zoo that takes its arguments and its crops."""

import inspect
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import timm
import torch

from vgg_zoo.entrypoints import BOX_NETS, NETS
from vgg_zoo.model import LEAST_SIDE, VGG

MOST_SEED = 2**32 - 1
"""NumPy's legacy generator, which Accelerate seeds too, takes no more."""

_WEIGHTS = "To begin with trained weights, name them in init_from, or by --init-from"

_ELSEWHERE = {
    "num_classes": "the data set decides it",
    "in_chans": "images are RGB",
    "pretrained": _WEIGHTS,
    "checkpoint_path": _WEIGHTS,
    "device": "accelerate launch decides it",
    "dtype": "--precision decides it",
    "features_only": "a net without its last layer learns nothing",
}
"""Arguments of nets that are no recipe's, and where they are decided."""


def check_types(recipe: Any) -> None:
    """Every field of a dataclass is of the type that its annotation says.

    Raises:
        ValueError: One is not; a bool is no number, and text is none either.
    """
    for field in fields(recipe):
        check_type(field.name, getattr(recipe, field.name), field.type)


def check_type(name: str, value: Any, kind: Any) -> None:
    """A value is of the type of an annotation.

    Raises:
        ValueError: It is not; the message has the name, the type in words and the value.
    """
    if not _fits(value, kind):
        raise ValueError(f"{name} must be {_words(kind)}; got {value!r}")


def check_finite(name: str, value: Any) -> None:
    """No number is NaN or infinite, also in a tuple; raises `ValueError`."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite; got {value}")
    for part in value if isinstance(value, tuple) else ():
        check_finite(name, part)


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kind in (int, float):  # Python's bool is an int
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is UnionType:
        return " or ".join(map(_words, parts))
    if get_origin(kind) is tuple:
        return "a tuple of " + ("whole numbers" if parts[1:] == (...,) else f"{len(parts)} whole numbers")
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "text", NoneType: "None"}
    return names.get(kind) or ("a dict" if get_origin(kind) is Mapping else f"of type {kind.__name__}")


def check_net(model: str, arguments: Mapping[str, Any], crop_size: int) -> None:
    """The net is this zoo's, or one that its user registered as docs/adding.md says; it takes its arguments and crops.

    Nothing is allocated for it.

    Args:
        model: Of timm's registry.
        arguments: Of the net, as plain data.
        crop_size: Side of the training crops in pixels.

    Raises:
        ValueError: Anything else; the message names the value and the options.
    """
    check_zoo(model)
    for name in arguments:
        if name in _ELSEWHERE:
            raise ValueError(f"model_args has {name!r}, which is no recipe's: {_ELSEWHERE[name]}")
    try:
        plain = json.dumps(dict(arguments), sort_keys=True)
    except TypeError as error:
        raise ValueError(f"model_args must be plain data, numbers and text: {error}") from error
    if crop_size < LEAST_SIDE:
        raise ValueError(f"crop_size must be at least {LEAST_SIDE}, one cell of the net's map; got {crop_size}")
    _check_made(model, plain, crop_size)


@lru_cache(maxsize=64)
def _check_made(model: str, plain: str, crop_size: int) -> None:
    arguments, known = json.loads(plain), dict(_parameters(model))
    for name, value in arguments.items():
        if name in known:
            check_type(f"model_args[{name!r}]", value, known[name])
            check_finite(f"model_args[{name!r}]", value)
    try:
        with torch.device("meta"):
            net = timm.create_model(model, num_classes=2, **arguments)
            net.eval()(torch.empty(1, 3, crop_size, crop_size))
    except (TypeError, ValueError, RuntimeError) as error:
        options = ", ".join(name for name in known if name not in _ELSEWHERE)
        raise ValueError(f"{model} cannot be made with model_args {arguments} ({error}); it takes {options}") from error


def is_net(name: str) -> bool:
    """Whether timm has a net of this name, with or without the tag of weights: "vgg_d", "vgg_d.oxford_in1k"."""
    return timm.is_model(name.partition(".")[0])


@lru_cache
def check_zoo(model: str) -> None:
    """Refuse what is no net of this zoo, nor one of a user's own."""
    known, (net, _, tag) = is_net(model), model.partition(".")
    if known and not timm.model_entrypoint(net).__module__.startswith("timm."):
        if tag:
            raise ValueError(f"model must be a net, {net!r}, without the tag of weights; got {model!r}. {_WEIGHTS}")
        if isinstance(timm.create_model(net, device="meta"), VGG):
            return
    raise ValueError(
        f"model must be a net of this zoo, {', '.join((*NETS, *BOX_NETS))}, or one of your own that your recipe's "
        f"file registers as docs/adding.md shows; got {model!r}" + (", which is timm's" if known else "")
    )


def _parameters(model: str) -> Iterator[tuple[str, Any]]:
    """Arguments of a net with their types: of its function, its class, and the classes that this stands on."""
    entrypoint = timm.model_entrypoint(model)
    net = type(timm.create_model(model, device="meta"))
    own = [each.__init__ for each in net.__mro__ if issubclass(each, VGG) and "__init__" in each.__dict__]
    for function in (*reversed(own), entrypoint):
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in ("self", "cfg", "output_stride") and parameter.kind is not parameter.VAR_KEYWORD:
                yield name, Any if parameter.annotation is parameter.empty else parameter.annotation
