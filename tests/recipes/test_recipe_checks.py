"""A recipe that cannot be right is refused when it is made: by the field's name, its value, and what it may be."""

import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
from timm.models import register_model

from recipes.names import recipe_names
from recipes.recipe import Recipe, load_recipe
from recipes.recipe_checks import fields as checks
from recipes.recipe_checks.nets import parameters
from tests.helpers import BOX_NETS, NETS
from vgg_zoo import VGG
from vgg_zoo.configurations import REGRESSIONS
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS, Colours
from vgg_zoo.initialisation import METHODS
from vgg_zoo.model import LEAST_SIDE

NAN, INF = float("nan"), float("inf")


def refused(**changes: Any) -> str:
    """The one-line error of net A's recipe with these fields."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (its callers look at the message)
        Recipe(**{"model": "vgg_a", **changes})
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG_TYPES: dict[str, list[Any]] = {
    "int": [16.0, True, "16", None, [16], INF],
    "float": ["0.01", True, None, (0.1,), 1j],
    "bool": [1, 0.0, "yes", None],
    "str": [None, 3, b"all", ("all",)],
    "tuple[int, int]": [256, (256,), [256, 256], (256.0, 256), (True, 256), (256, 256, 256), "256"],
    "tuple[int, ...] | None": [5, [5], (5.0,), ("5",), (True,)],
    "float | None": ["0.9", True, (0.9,)],
    "str | None": [3, True, ["vgg_a_s256"]],
    "collections.abc.Mapping[str, typing.Any]": [None, [("std", 0.01)], "std"],
    "Colours | None": [((1.0, 2.0, 3.0),), {"mean": (1, 2, 3)}],
}


def type_of(field: Any) -> str:
    """A field's annotation, as text."""
    return (
        field.type.__name__ if isinstance(field.type, type) and not hasattr(field.type, "__args__") else str(field.type)
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [(field.name, value) for field in fields(Recipe) for value in WRONG_TYPES[type_of(field)]],
)
def test_every_field_has_its_type(name: str, value: Any) -> None:
    """Whatever the field: no float, bool or text for a count, no text for a number, no list for a tuple."""
    assert re.match(rf"{name} must be .*; got {re.escape(repr(value))}$", refused(**{name: value}))


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if "float" in type_of(field)])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_no_number_is_infinite_or_none(name: str, value: float) -> None:
    """NaN passes every comparison that only asks whether a number is too small."""
    assert re.match(rf"{name} must .*; got {value}$", refused(**{name: value}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must not be negative; got -1"),
        ({"seed": 2**32}, "seed must be at most 2**32 - 1; got 4294967296"),
        ({"momentum": 1}, "momentum must be below 1"),
        ({"colour_jitter": 1.5}, "colour_jitter must be at most 1"),
        ({"crop_size": 16, "train_scales": (16, 16)}, "crop_size must be at least 32"),
        ({"init_from": ""}, "init_from must name a recipe"),
        ({"model_args": {"num_classes": 10}}, "model_args has 'num_classes', which is no recipe's: the data set"),
        ({"model_args": {"pretrained": True}}, "model_args has 'pretrained', which is no recipe's: To begin with"),
        ({"model_args": {"in_chans": 1}}, "model_args has 'in_chans'"),
        (
            {"model_args": {"widht_multiplier": 0.5}},
            "vgg_a takes no 'widht_multiplier' (did you mean width_multiplier?) in model_args; it takes ",
        ),
        ({"model_args": {"regression": "pcr"}}, "vgg_a takes no 'regression' in model_args; it takes global_pool"),
        ({"model_args": {"std": "0.01"}}, "model_args['std'] must be a number; got '0.01'"),
        ({"model_args": {"std": INF}}, "model_args['std'] must be finite; got inf"),
        ({"model_args": {"std": np.float32(1)}}, "model_args must be plain data"),
        ({"model_args": {"head_kernel_size": 1.0}}, "model_args['head_kernel_size'] must be a whole number; got 1.0"),
        ({"model_args": {"width_multiplier": True}}, "model_args['width_multiplier'] must be a number; got True"),
        ({"model_args": {"initialisation": "he"}}, "unknown initialisation 'he'; choose from glorot, normal"),
        ({"model_args": {"drop_rate": 1.5}}, "model_args['drop_rate'] must be from 0 to 1; got 1.5"),
        ({"model_args": {"global_pool": ""}}, "unknown global_pool ''; choose from avg, max"),
        ({"model": "vgg_a.tv_in1k"}, "without the tag of weights; got 'vgg_a.tv_in1k'"),
    ],
)
def test_what_cannot_be_right_is_refused(changes: dict[str, Any], message: str) -> None:
    """Seeds that a generator does not take, arguments that the net does not take, and those that other options set."""
    assert message in refused(**changes)


@pytest.mark.parametrize("model", ["resnet50", "vgg16", "vgg_z", "", "hf-hub:timm/vgg16.tv_in1k", "resnet50.a1_in1k"])
def test_only_nets_of_the_zoo_are_trained(model: str) -> None:
    """The message lists all of them."""
    message = refused(model=model)
    assert message.startswith(f"model must be a net of this zoo, {', '.join((*NETS, *BOX_NETS))}")
    assert f"got {model!r}" in message


@pytest.mark.parametrize("net", [*NETS, *BOX_NETS])
def test_every_net_of_the_zoo_is_taken(net: str) -> None:
    """With the objective that it predicts; whole numbers are numbers, too."""
    objective = "boxes" if net.endswith("_box") else "classes"
    assert (
        Recipe(model=net, objective=objective, learning_rate=1, colour_shift=0, colours=IMAGENET_COLOURS).model == net
    )


def test_a_net_of_ones_own_is_taken() -> None:
    """Registered as docs/adding.md shows, with an argument that only its function knows."""
    module = ModuleType("own_nets")
    sys.modules["own_nets"] = module

    def vgg_own(pretrained: bool = False, twice: bool = False, **kwargs: Any) -> VGG:
        return timm.create_model("vgg_b" if twice else "vgg_a", pretrained, **kwargs)  # type: ignore[return-value]

    vgg_own.__module__ = "own_nets"
    registry = timm.models._registry
    try:
        register_model(vgg_own)
        assert Recipe(model="vgg_own", model_args={"twice": True, "std": 0.02}).model == "vgg_own"
        assert "model_args['twice'] must be True or False; got 1" in refused(model="vgg_own", model_args={"twice": 1})
    finally:
        del sys.modules["own_nets"]
        registry._model_entrypoints.pop("vgg_own")
        registry._module_to_models.pop("own_nets")
        registry._model_to_module.pop("vgg_own")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_right(name: str) -> None:
    """And the small one of the paper's sizes; the digits are as small as can be."""
    recipe = load_recipe(name)
    if recipe.crop_size == 224 and (recipe.init_from is None or recipe.stands_on):  # others begin with whole weights
        assert load_recipe(f"{name}@small").crop_size == 32


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return Recipe(model='vgg_a', batchsize=16)",
            "unexpected keyword argument 'batchsize'; a recipe's fields",
        ),
        (
            "return Recipe()",
            "missing 1 required keyword-only argument: 'model'; a recipe's fields are model, ",
        ),
        ("return {'model': 'vgg_a'}", r"recipe\(\) must return a Recipe; got {'model': 'vgg_a'}"),
        ("pass", r"recipe\(\) must return a Recipe; got None"),
    ],
)
def test_a_file_that_gives_no_recipe_is_named(tmp_path: Path, body: str, message: str) -> None:
    """With the fields that there are."""
    file = tmp_path / "mine.py"
    file.write_text(f"from recipes.recipe import Recipe\ndef recipe():\n    {body}\n")
    with pytest.raises(ValueError, match=message) as caught:
        load_recipe(str(file))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (1.0, 2.0)}, "mean must be three numbers from 0 to 255"),
        ({"mean": (1.0, 2.0, 256.0)}, "mean must be three numbers from 0 to 255"),
        ({"eigenvalues": (1.0, NAN, 1.0)}, "eigenvalues must be three finite numbers"),
        ({"eigenvectors": ((1.0, 0.0, 0.0),) * 2}, "eigenvectors must be three rows"),
        ({"eigenvectors": ((1.0, 0.0, "0"),) * 3}, "eigenvectors must be three rows"),
        ({"deviation": (1.0, 1.0, 0.0)}, "deviation must be three numbers above 0"),
        ({"deviation": (1.0, 1.0)}, "deviation must be three numbers above 0"),
    ],
)
def test_colours_are_numbers(changes: dict[str, Any], message: str) -> None:
    """Three of each."""
    values: dict[str, Any] = {
        "mean": (1.0, 2.0, 3.0),
        "eigenvalues": (1.0, 1.0, 1.0),
        "eigenvectors": ((1.0,) * 3,) * 3,
    }
    assert Colours(**values)
    with pytest.raises(ValueError, match=message):
        Colours(**values | changes)


def test_what_is_known_without_pytorch_is_what_decides() -> None:
    """Nets, arguments with their types and options, the smallest side: those of the nets themselves."""
    assert (tuple(NETS), tuple(BOX_NETS)) == (checks.NETS, checks.BOX_NETS)
    assert checks.LEAST_SIDE == LEAST_SIDE
    for net, known in (("vgg_d", checks.ARGUMENTS), ("vgg_d_box", checks.ARGUMENTS | checks.OF_BOX_NETS)):
        theirs = {name: kind for name, kind in parameters(net) if name not in checks.ELSEWHERE}
        assert theirs == {name: str if isinstance(kind, tuple) else kind for name, kind in known.items()}
    assert checks.ARGUMENTS["initialisation"] == METHODS
    assert set(checks.OF_BOX_NETS["regression"]) == set(REGRESSIONS)
