"""What a recipe's fields must be, as far as it is known without PyTorch: types, numbers, nets of this zoo by name."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from command_line.parser import check_known, near
from vgg_zoo_cli.names import NETS

MOST_SEED = 2**32 - 1
"""NumPy's legacy generator, which Accelerate seeds too, takes no more."""

LEAST_SIDE = 32
"""Of `vgg_zoo.model`: pixels of one cell of the net's map."""

BOX_NETS = tuple(f"{net}_box" for net in NETS)
"""That predict boxes."""

_POOLS = ("avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "fastmax", "fastavgmax", "fastcatavgmax")
"""Of timm, which ends in an AssertionError where there is no such one."""

ARGUMENTS: dict[str, Any] = {
    "global_pool": _POOLS,
    "drop_rate": float,
    "width_multiplier": float,
    "head_hidden_size": int,
    "head_kernel_size": int,
    "initialisation": ("glorot", "normal"),
    "std": float,
}
OF_BOX_NETS: dict[str, Any] = {"regression": ("pcr", "scr")}
"""Arguments of those nets that a recipe may have: a type, or the options."""

_WEIGHTS = "To begin with trained weights, name them in init_from, or by --init-from"

ELSEWHERE = {
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
    """Every field of a dataclass is of the type that its annotation says; one that is text is checked elsewhere.

    Raises:
        ValueError: One is not; a bool is no number, and text is none either.
    """
    for field in fields(recipe):
        if not isinstance(field.type, str):
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


def check_named(model: str, objective: str, arguments: Mapping[str, Any], crop_size: int) -> None:
    """What the name of a net tells: whether it learns the objective and takes the arguments, all of them plain data.

    A net of one's own, which can be known only where timm is imported, is left to `recipes.recipe_checks.nets`.

    Raises:
        ValueError: It does not; the message names the value and the options.
    """
    net, _, tag = model.partition(".")
    if net in (*NETS, *BOX_NETS) and tag:
        raise ValueError(with_tag(model))
    if net not in (*NETS, *BOX_NETS) and "timm" not in sys.modules:
        raise ValueError(no_net(model))
    if net in (*NETS, *BOX_NETS) and (objective == "boxes") != (net in BOX_NETS):
        raise ValueError(cannot_learn(model, objective))
    for name in arguments:
        if name in ELSEWHERE:
            raise ValueError(f"model_args has {name!r}, which is no recipe's: {ELSEWHERE[name]}")
    try:
        json.dumps(dict(arguments))
    except TypeError as error:
        raise ValueError(f"model_args must be plain data, numbers and text: {error}") from error
    if net in (*NETS, *BOX_NETS):
        _check_arguments(model, arguments, ARGUMENTS | (OF_BOX_NETS if net in BOX_NETS else {}))
    if crop_size < LEAST_SIDE:
        raise ValueError(f"crop_size must be at least {LEAST_SIDE}, one cell of the net's map; got {crop_size}")


def _check_arguments(model: str, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if name not in known:
            raise ValueError(f"{model} takes no {name!r}{near(name, known)} in model_args; it takes {', '.join(known)}")
        if isinstance(known[name], tuple):
            check_known(name, value, known[name])
            continue
        check_type(f"model_args[{name!r}]", value, known[name])
        check_finite(f"model_args[{name!r}]", value)
        if name == "drop_rate" and not 0 <= value <= 1:
            raise ValueError(f"model_args[{name!r}] must be from 0 to 1; got {value}")
        if name != "drop_rate" and known[name] is not str and not value > 0:
            raise ValueError(f"model_args[{name!r}] must be above 0; got {value}")


def no_net(model: str, whose: str = "") -> str:
    """What is said of a name that is no net's of this zoo."""
    return (
        f"model must be a net of this zoo, {', '.join((*NETS, *BOX_NETS))}, or one of your own that your recipe's "
        f"file registers as docs/adding.md shows; got {model!r}{whose}{near(model, (*NETS, *BOX_NETS))}"
    )


def with_tag(model: str) -> str:
    """What is said of the name of weights."""
    return f"model must be a net, {model.partition('.')[0]!r}, without the tag of weights; got {model!r}. {_WEIGHTS}"


def cannot_learn(model: str, objective: str) -> str:
    """What is said of a net that predicts something else than a recipe learns."""
    return f"{model} cannot learn {objective}: nets that predict boxes end in _box"
