"""The net of a recipe, made: it is one of this zoo or of a user's own, and takes its arguments and its crops."""

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import timm
import torch

from recipes.recipe_checks.fields import ELSEWHERE, cannot_learn, check_finite, check_type, no_net, with_tag
from vgg_zoo.entrypoints import predicts
from vgg_zoo.images.preprocessing import Colours
from vgg_zoo.model import VGG


def check_net(model: str, objective: str, arguments: Mapping[str, Any], crop_size: int) -> None:
    """The net is this zoo's, or one that its user registered as docs/adding.md says; it takes its arguments and crops.

    Nothing is allocated for it.

    Args:
        model: Of timm's registry.
        objective: What it must predict.
        arguments: Of the net, as plain data; `recipes.recipe_checks.fields.check_named` found nothing against them.
        crop_size: Side of the training crops in pixels.

    Raises:
        ValueError: Anything else; the message names the value and the options.
    """
    check_zoo(model)
    if predicts(model) != objective:
        raise ValueError(cannot_learn(model, objective))
    _check_made(model, json.dumps(dict(arguments), sort_keys=True), crop_size)


@lru_cache(maxsize=64)
def _check_made(model: str, plain: str, crop_size: int) -> None:
    arguments, known = json.loads(plain), dict(parameters(model))
    for name, value in arguments.items():
        if name in known:
            check_type(f"model_args[{name!r}]", value, known[name])
            check_finite(f"model_args[{name!r}]", value)
    try:
        with torch.device("meta"):
            net = timm.create_model(model, num_classes=2, **arguments)
            net.eval()(torch.empty(1, 3, crop_size, crop_size))
    except (TypeError, ValueError, RuntimeError) as error:
        options = ", ".join(name for name in known if name not in ELSEWHERE)
        raise ValueError(f"{model} cannot be made with model_args {arguments} ({error}); it takes {options}") from error


def check_colours(colours: Any) -> None:
    """Refuse what is no `Colours`."""
    check_type("colours", colours, Colours | None)


def is_net(name: str) -> bool:
    """Whether timm has a net of this name, with or without the tag of weights: "vgg_d", "vgg_d.oxford_in1k"."""
    return timm.is_model(name.partition(".")[0])


@lru_cache
def check_zoo(model: str) -> None:
    """Refuse what is no net of this zoo, nor one of a user's own."""
    known, (net, _, tag) = is_net(model), model.partition(".")
    if known and not timm.model_entrypoint(net).__module__.startswith("timm."):
        if tag:
            raise ValueError(with_tag(model))
        if isinstance(timm.create_model(net, device="meta"), VGG):
            return
    raise ValueError(no_net(model, ", which is timm's" if known else ""))


def parameters(model: str) -> Iterator[tuple[str, Any]]:
    """Arguments of a net with their types: of its function, its class, and the classes that this stands on."""
    entrypoint = timm.model_entrypoint(model)
    net = type(timm.create_model(model, device="meta"))
    own = [each.__init__ for each in net.__mro__ if issubclass(each, VGG) and "__init__" in each.__dict__]
    for function in (*reversed(own), entrypoint):
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in ("self", "cfg", "output_stride") and parameter.kind is not parameter.VAR_KEYWORD:
                yield name, Any if parameter.annotation is parameter.empty else parameter.annotation
