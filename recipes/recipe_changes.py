"""Changes of a recipe from the command line: `--set epochs=20 learning_rate=1e-3 model_args.drop_rate=0.2`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from command_line.parser import MistypedError, near
from recipes.recipe import Recipe
from recipes.recipe_checks.fields import check_type

_KINDS = {field.name: field.type for field in fields(Recipe)}
_ARGUMENTS = "model_args"


def changed(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """A recipe with some of its fields changed.

    Args:
        recipe: As its file has it.
        words: "NAME=VALUE" each, a value as the field's type reads: a number, true or false, text, none, numbers with
            commas between them. "model_args.NAME=VALUE" changes one argument of the net, and leaves the others.

    Raises:
        MistypedError: No such field, a value of another type or one that the recipe refuses, or a field set twice.
    """
    try:
        return _changed(recipe, words)
    except ValueError as error:
        raise MistypedError(str(error)) from error


def _changed(recipe: Recipe, words: Sequence[str]) -> Recipe:
    changes: dict[str, Any] = {}
    arguments = dict(recipe.model_args)
    seen: set[str] = set()
    for word in words:
        name, value = _parted(word)
        if name in seen:
            raise ValueError(f"--set has {name} twice")
        seen.add(name)
        field, _, argument = name.partition(".")
        if field == _ARGUMENTS and argument:
            arguments[argument] = _plain(value)
        else:
            changes[name] = _read(name, value)
    if recipe.last_layer == "new" and "model" in changes:
        raise ValueError(
            f"--set model={changes['model']}: where the last layer is new, the net is that of the weights; name those "
            "with --init-from"
        )
    return replace(recipe, **changes, model_args=arguments)


def _parted(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    known = name in _KINDS or name.startswith(f"{_ARGUMENTS}.")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE; got {word!r}" + (f", {name}=... perhaps" if known else ""))
    if not known:
        raise ValueError(f"--set: a recipe has no {name!r}{near(name, _KINDS)}; it has {', '.join(_KINDS)}")
    return name, value


def _read(name: str, text: str) -> Any:
    kind = _KINDS[name]
    if isinstance(kind, str) or get_origin(kind) is Mapping:  # `Colours`, which is imported nowhere here
        way = "one by one: model_args.drop_rate=0.2" if name == _ARGUMENTS else "in a .py file of your own"
        raise ValueError(f"--set cannot write {name} as one value; give it {way}")
    value = _value(text, kind)
    try:
        check_type(name, value, kind)
    except ValueError as error:
        raise ValueError(f"--set {error}") from error
    return value


def _value(text: str, kind: Any) -> Any:
    """The text as a value of a type; as it is where it is none, which the check of types then names."""
    if get_origin(kind) is UnionType:
        parts = get_args(kind)
        if NoneType in parts and text.lower() == "none":
            return None
        return _value(text, next(part for part in parts if part is not NoneType))
    if get_origin(kind) is tuple:
        return tuple(_value(part, get_args(kind)[0]) for part in text.split(","))
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    with suppress(ValueError):
        return kind(text)
    return text


def _plain(text: str) -> Any:
    """A number, true or false as JSON has them; anything else is text."""
    with suppress(ValueError):
        return json.loads(text)
    return {"True": True, "False": False}.get(text, text)
