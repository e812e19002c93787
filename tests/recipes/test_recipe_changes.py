"""Changes of a recipe from the command line: read by the fields' types, refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from recipes import train
from recipes.recipe import Recipe, load_recipe
from recipes.recipe_changes import changed
from recipes.training.reproduce import chain
from tests.recipes.commands import TINY, command, refusal, run, succeed, train_command

RECIPE = load_recipe("digits_vgg_a")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("epochs=20", 20),
        ("learning_rate=1e-3", 1e-3),
        ("learning_rate=1", 1.0),
        ("train_scales=256,512", (256, 512)),
        ("milestones=none", None),
        ("milestones=5", (5,)),
        ("milestones=5,8", (5, 8)),
        ("flip=True", True),
        ("ema_decay=0.999", 0.999),
        ("ema_decay=None", None),
        ("init_from=vgg_a_s256", "vgg_a_s256"),
        ("crop=resized", "resized"),
    ],
)
def test_a_value_is_of_the_fields_type(word: str, expected: Any) -> None:
    """Numbers, truth values, tuples, none and text."""
    name = word.partition("=")[0]
    found = getattr(changed(RECIPE, [word, "test_scale=384"] if "scales" in word else [word]), name)
    assert found == expected
    assert type(found) is type(expected)


def test_arguments_of_the_net_change_one_by_one() -> None:
    """The others stay; several fields change together."""
    recipe = changed(RECIPE, ["model_args.drop_rate=0.2", "model_args.initialisation=normal", "epochs=3"])
    assert recipe.model_args == {**RECIPE.model_args, "drop_rate": 0.2, "initialisation": "normal"}
    assert recipe.epochs == 3
    assert changed(RECIPE, []) == RECIPE


MISTAKES = [
    ("epoch=3", "a recipe has no 'epoch' (did you mean epochs?); it has model, model_args, objective"),
    ("colour=3", "a recipe has no 'colour' (did you mean colours?); it has model"),
    ("xyz=3", "a recipe has no 'xyz'; it has model, model_args, objective"),
    ("epochs", "--set takes NAME=VALUE; got 'epochs', epochs=... perhaps"),
    ("epochs=many", "--set epochs must be a whole number; got 'many'"),
    ("epochs=2.5", "--set epochs must be a whole number; got '2.5'"),
    ("epochs=", "--set epochs must be a whole number; got ''"),
    ("epochs=none", "--set epochs must be a whole number; got 'none'"),
    ("learning_rate=fast", "--set learning_rate must be a number; got 'fast'"),
    ("learning_rate=nan", "learning_rate must be above 0; got nan"),
    ("flip=yes", "--set flip must be True or False; got 'yes'"),
    ("train_scales=256", "--set train_scales must be a tuple of 2 whole numbers; got (256,)"),
    ("milestones=3,x", "--set milestones must be a tuple of whole numbers or None; got (3, 'x')"),
    ("batch_size=0", "batch_size must be above 0; got 0"),
    ("trainable=trunk", "trainable must be one of all, fc, last; got 'trunk'"),
    ("model=vgg_z", "model must be a net of this zoo"),
    ("colours=1,2,3", "--set cannot write colours as one value; give it in a .py file of your own"),
    ("model_args={}", "--set cannot write model_args as one value; give it one by one: model_args.drop_rate=0.2"),
    ("model_args.width=2", "vgg_a takes no 'width' in model_args; it takes global_pool, drop_rate, width_multiplier"),
    ("model_args.std=-1", "model_args['std'] must be above 0; got -1"),
    (
        "model_args.initialisation=normall",
        "unknown initialisation 'normall' (did you mean normal?); choose from glorot, normal",
    ),
    ("model_args.global_pool=avgg", "unknown global_pool 'avgg' (did you mean avg"),
    ("model_args.num_classes=2", "model_args has 'num_classes', which is no recipe's: the data set decides it"),
]


@pytest.mark.parametrize(("word", "message"), MISTAKES)
def test_a_mistake_is_refused_before_anything_is_done(word: str, message: str, tmp_path: Path) -> None:
    """The last line has the value, the options and the way out; the exit code is 2, and nothing is written."""
    words = ["--recipe", "digits_vgg_a", "--data", "digits", "--output", str(tmp_path / "run"), "--set", word]
    assert message in refusal(train.main, *words, code=2)
    assert not list(tmp_path.iterdir())


def test_a_field_set_twice_is_refused() -> None:
    """Rather than the last one taken."""
    with pytest.raises(ValueError, match="--set has epochs twice"):
        changed(RECIPE, ["epochs=2", "epochs=3"])


def test_the_net_of_a_new_last_layer_follows_the_weights() -> None:
    """Another one is named with its weights."""
    with pytest.raises(ValueError, match=r"--set model=vgg_e: .* name those with --init-from"):
        changed(load_recipe("finetune_d"), ["model=vgg_e"])


def test_a_chain_of_runs_has_the_changes_in_each(tmp_path: Path) -> None:
    """And recipes that begin with published weights stand on no run."""
    runs = chain(["vgg_d_s384"], tmp_path, ["epochs=3"])
    assert [(run.name, run.recipe.epochs) for run in runs] == [("vgg_a_s256", 3), ("vgg_d_s256", 3), ("vgg_d_s384", 3)]
    assert [run.name for run in chain(["finetune_d_fc"], tmp_path)] == ["finetune_d_fc"]


@pytest.mark.slow
def test_what_is_learned_is_in_run_json_and_compared(tmp_path: Path) -> None:
    """A run resumes with the same changes alone; with others it names them, old and new."""
    output, changes = tmp_path / "run", ["--set", "epochs=2", "--set", "learning_rate=1e-4", "seed=3"]
    succeed(train_command(output, "--max-steps", 3, *changes))
    settings = json.loads((output / "run.json").read_text())["settings"]
    assert settings.keys() == Recipe.__dataclass_fields__.keys()
    assert (settings["epochs"], settings["learning_rate"], settings["seed"]) == (2, 1e-4, 3)
    done = run(train_command(output, "--max-steps", 6, "--set", "epochs=3", "seed=3"))
    assert done.returncode == 1
    assert "settings.epochs is 2 there and 3 now; settings.learning_rate is 0.0001 there and 0.0005 now" in done.stderr
    assert "resumes from step 3" in succeed(train_command(output, "--max-steps", 6, *changes)).stdout
    assert json.loads((output / "results.json").read_text())["settings"] == settings


@pytest.mark.slow
def test_a_dry_run_has_the_changes_too(tmp_path: Path) -> None:
    """Of another batch, for example."""
    done = succeed(
        command("train", "--recipe", TINY, "--dry-run", "--output", tmp_path / "run", "--set", "batch_size=8")
    )
    assert "batches of 8 images" in done.stdout
