"""Recipes: the folder is the registry, and what they say is checked."""

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.names import CONFIGS, recipe_names
from recipes.recipe import Recipe, load_recipe
from recipes.training.schedule import Schedule


def test_there_are_recipes() -> None:
    """The folder is found and holds the demo's recipe."""
    assert "digits_vgg_a" in recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_makes_its_net(name: str) -> None:
    """Its net exists, takes its arguments, and a crop of its size fills exactly one cell of the class score map."""
    recipe = load_recipe(name)
    with torch.device("meta"):
        net = timm.create_model(recipe.model, num_classes=3, **recipe.model_args)
        outputs = {None: 3, "pcr": 12, "scr": 4}[getattr(net, "regression", None)]
        found = net.class_score_map(torch.empty(1, 3, recipe.crop_size, recipe.crop_size))
        assert found.shape == (1, outputs, 1, 1)


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
        ({"trainable": "head"}, "trainable must be one of all, fc, last; got 'head'"),
        ({"crop": "random"}, "crop must be one of paper, resized; got 'random'"),
        ({"milestones": (80, 50)}, r"rising order; got \(80, 50\)"),
        ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1, or be None; got 1.0"),
        ({"last_layer": "old"}, "last_layer must be one of kept, new; got 'old'"),
        ({"last_layer": "new"}, "is for nets that begin with trained weights; name them in init_from"),
        ({"new_layer_rate": 10.0}, "new_layer_rate is the rate of a new last layer; got 10.0 without one"),
        ({"last_layer": "new", "init_from": "x", "new_layer_rate": 0.0}, "new_layer_rate must be above 0; got 0.0"),
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
    """After `patience` epochs without a new best, three times at the most; a fourth time ends the run."""
    schedule = Schedule(Recipe(model="vgg_a", patience=2))
    rates = []
    for accuracy in (0.1, 0.2, 0.2, 0.15, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3):
        schedule.after_epoch(accuracy)
        rates.append(schedule.learning_rate)
        assert not schedule.ended
    assert rates == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 2)
    schedule.after_epoch(0.3)
    schedule.after_epoch(0.3)
    assert schedule.ended
    assert schedule.learning_rate == pytest.approx(1e-5)


def test_a_schedule_goes_on_from_its_state() -> None:
    """What a checkpoint keeps is all that it needs."""
    recipe = Recipe(model="vgg_a", patience=2)
    whole, first = Schedule(recipe), Schedule(recipe)
    accuracies = [0.1, 0.2, 0.1, 0.2, 0.25, 0.2, 0.1, 0.3]
    for accuracy in accuracies:
        whole.after_epoch(accuracy)
    for accuracy in accuracies[:4]:
        first.after_epoch(accuracy)
    second = Schedule(recipe)
    second.restore(json.loads(json.dumps(first.state())))
    for accuracy in accuracies[4:]:
        second.after_epoch(accuracy)
    assert second == whole


def test_milestones_replace_the_plateau() -> None:
    """The rate falls after fixed epochs, whatever the accuracy; nothing ends the run early."""
    schedule = Schedule(Recipe(model="vgg_a", patience=1, milestones=(2, 4)))
    rates = []
    for _ in range(6):
        rates.append(schedule.learning_rate)
        schedule.after_epoch(0.5)
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])
    assert not schedule.ended


def test_a_run_is_as_long_as_the_papers() -> None:
    """370K iterations at batch 256 are 74 epochs of ILSVRC (Sect. 3.1)."""
    recipe = load_recipe("vgg_d_s256")
    assert recipe.steps(1_281_167) == 370_000
    assert pytest.approx(74, abs=0.1) == 370_000 * 256 / 1_281_167


BOXES = [f"vgg_d_s{scale}_{kind}" for scale in (256, 384) for kind in ("pcr", "pcr_fc", "scr_fc")]
PAPERS = ["vgg_a_s256", "vgg_a_lrn_s256", "vgg_b_shallow_s256", *(f"vgg_{net}_s256" for net in "bcde")]
PAPERS += [f"vgg_{net}_{scales}" for net in "cde" for scales in ("s384", "s256_512")] + ["vgg_d_s256_512_fc"]
MODERN = [f"vgg_{net}_modern" for net in ("a", "a_lrn", "b", "b_shallow", "c", "d", "e")]


FINETUNE = {"finetune_d": "all", "finetune_d_fc": "fc", "finetune_small": "last"}


@pytest.mark.parametrize("name", FINETUNE)
def test_recipes_for_ones_own_classes_begin_with_oxfords_weights(name: str) -> None:
    """With a new last layer, at 1e-3; the set decides the batch. They stand on no other run, and have no small one."""
    recipe = load_recipe(name)
    assert (recipe.init_from, recipe.last_layer, recipe.trainable) == ("vgg_d.oxford_in1k", "new", FINETUNE[name])
    assert recipe.learning_rate == 1e-3
    assert recipe.fit_batch
    assert recipe.stands_on is None
    assert load_recipe("vgg_d_s384").stands_on == "vgg_d_s256"
    with pytest.raises(ValueError, match=r"begins with vgg_d\.oxford_in1k has no small one"):
        load_recipe(f"{name}@small")


def test_the_papers_runs_are_there() -> None:
    """Tables 3, 4, 6 and 8, the Glorot variants, a modern recipe for each net, and those of the digits."""
    glorot = {f"vgg_{net}_s256_glorot" for net in "bcde"}
    digits = {"digits_vgg_a", "pasted_digits_a", "pasted_digits_a_scr"}
    assert {*PAPERS, *MODERN, *BOXES} | glorot | digits | set(FINETUNE) == set(recipe_names())


@pytest.mark.parametrize("name", BOXES)
def test_the_runs_that_learn_boxes_say_what_the_paper_says(name: str) -> None:
    """Appendix A: S=256 or 384 without jitter, from the classifier of the same scale, at 1e-3, all layers or FC."""
    recipe = load_recipe(name)
    scale, regression, *fc = name.removeprefix("vgg_d_s").split("_")
    assert (recipe.model, recipe.objective) == ("vgg_d_box", "boxes")
    assert recipe.train_scales == (int(scale), int(scale))
    assert recipe.init_from == f"vgg_d_s{scale}"
    assert recipe.learning_rate == 1e-3
    assert recipe.model_args["regression"] == regression
    assert recipe.trainable == ("fc" if fc else "all")


def test_boxes_are_learned_by_nets_that_predict_them() -> None:
    """And by no others; nor from crops that are stretched."""
    with pytest.raises(ValueError, match="vgg_a cannot learn boxes"):
        Recipe(model="vgg_a", objective="boxes")
    with pytest.raises(ValueError, match="vgg_a_box cannot learn classes"):
        Recipe(model="vgg_a_box")
    with pytest.raises(ValueError, match="crop 'resized'"):
        Recipe(model="vgg_a_box", objective="boxes", crop="resized")


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_runs_say_what_the_paper_says(name: str) -> None:
    """Scales, rates and beginnings of Sect. 3.1; the test scale is the middle of the training scales (Sect. 4.1)."""
    recipe = load_recipe(name)
    scales = {"s256": (256, 256), "s384": (384, 384), "s256_512": (256, 512), "s256_512_fc": (256, 512)}
    suffix = name[name.index("_s256" if "_s256" in name else "_s384") + 1 :]
    assert recipe.train_scales == scales[suffix]
    assert recipe.test_scale == sum(recipe.train_scales) // 2
    assert recipe.learning_rate == (1e-2 if suffix == "s256" else 1e-3)
    assert recipe.model_args == {"initialisation": "normal", "std": 0.01}
    assert (recipe.crop, recipe.milestones, recipe.ema_decay, recipe.colour_jitter) == ("paper", None, None, 0)
    assert recipe.colour_shift == 0.1
    assert recipe.trainable == ("fc" if suffix.endswith("fc") else "all")
    net = name.removesuffix("_" + suffix)
    begins = {"s384": f"{net}_s256", "s256_512": f"{net}_s384", "s256_512_fc": f"{net}_s384"}
    first = None if net in ("vgg_a", "vgg_a_lrn", "vgg_b_shallow") else "vgg_a_s256"
    assert recipe.init_from == begins.get(suffix, first)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_what_it_should_reach_and_how_to_run_it(name: str) -> None:
    """Its docstring names itself in a command; a modern one says that it is not the paper's."""
    text = (CONFIGS / f"{name}.py").read_text()
    assert f"accelerate launch recipes/train.py --recipe {name} --data" in text
    assert text.startswith('"""NOT the paper\'s training.') == ("modern" in name)
    assert any(character.isdigit() for character in text.split('"""')[1])


def test_a_small_recipe_is_a_seventh_of_the_pixels() -> None:
    """The same chain on small images: crop 32, S in [36; 73], and its beginning is small, too."""
    recipe = load_recipe("vgg_d_s256_512@small")
    assert (recipe.crop_size, recipe.train_scales, recipe.test_scale) == (32, (36, 73), 54)
    assert recipe.init_from == "vgg_d_s384@small"
    assert recipe.model_args["head_kernel_size"] == 1
    assert recipe.learning_rate == 1e-3


def test_a_recipe_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    """With the errors of a mistyped path and of a file without a recipe."""
    file = tmp_path / "mine.py"
    file.write_text("from recipes.recipe import Recipe\ndef recipe():\n    return Recipe(model='vgg_b', seed=7)\n")
    assert load_recipe(str(file)).seed == 7
    with pytest.raises(ValueError, match=r"no recipe file '.*yours.py'"):
        load_recipe(str(tmp_path / "yours.py"))
    file.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"has no function recipe\(\)"):
        load_recipe(str(file))
