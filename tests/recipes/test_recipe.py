"""Recipes: the folder is the registry, and what they say is checked."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.recipe import Recipe, load_recipe, recipe_names
from recipes.schedule import Plateau


def test_there_are_recipes() -> None:
    """The folder is found and holds the demo's recipe."""
    assert "digits_vgg_a" in recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_makes_its_net(name: str) -> None:
    """Its net exists, takes its arguments, and a crop of its size fills exactly one cell of the class score map."""
    recipe = load_recipe(name)
    with torch.device("meta"):
        net = timm.create_model(recipe.model, num_classes=3, **recipe.model_args)
        assert net.class_score_map(torch.empty(1, 3, recipe.crop_size, recipe.crop_size)).shape == (1, 3, 1, 1)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    """The message names the value and the options."""
    with pytest.raises(ValueError, match=r"unknown recipe 'vgg_z'; recipes/configs/ has .*digits_vgg_a"):
        load_recipe("vgg_z")


def test_a_name_cannot_reach_outside_the_folder() -> None:
    """A path is not a recipe."""
    with pytest.raises(ValueError, match="unknown recipe"):
        load_recipe("../recipe")


def test_a_recipe_cannot_be_changed() -> None:
    """A variant is a new recipe."""
    with pytest.raises(FrozenInstanceError):
        load_recipe("digits_vgg_a").seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_scales": (200, 300)}, r"crop_size <= S_min <= S_max; got \(200, 300\) with crop_size 224"),
        ({"train_scales": (512, 256)}, r"S_min <= S_max; got \(512, 256\)"),
        ({"test_scale": 100}, "test_scale must be at least crop_size"),
        ({"batch_size": 0}, "batch_size must be above 0; got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0; got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0; got nan"),
        ({"weight_decay": -5e-4}, "weight_decay must not be negative; got -0.0005"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], message: str) -> None:
    """Recipes are validated when they are made."""
    with pytest.raises(ValueError, match=message):
        replace(Recipe(model="vgg_a"), **changes)


def test_the_defaults_are_the_papers() -> None:
    """Sect. 3.1: batch 256, momentum 0.9, weight decay 5e-4, rate 1e-2, three drops, 74 epochs, crop 224, S=256."""
    recipe = Recipe(model="vgg_a")
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay) == (256, 0.9, 5e-4)
    assert (recipe.learning_rate, recipe.drops, recipe.epochs) == (1e-2, 3, 74)
    assert (recipe.crop_size, recipe.train_scales) == (224, (256, 256))


def test_the_rate_falls_by_ten_when_accuracy_stops_improving() -> None:
    """After `patience` epochs without a new best, three times at the most."""
    schedule = Plateau(Recipe(model="vgg_a", patience=2))
    rates = []
    for accuracy in (0.1, 0.2, 0.2, 0.15, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3):
        schedule.after_epoch(accuracy)
        rates.append(schedule.learning_rate)
    expected = [1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 4
    assert rates == pytest.approx(expected)
