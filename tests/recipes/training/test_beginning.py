"""What a run begins with (Sect. 3.1), and the net of classes of one's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from recipes.recipe import Recipe, load_recipe
from recipes.runtime.files import write_json
from recipes.training.beginning import begin_with, beginning, following, random_net, sentences
from tests.helpers import SMALL, small, training_results
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS
from vgg_zoo.results import RESULTS
from vgg_zoo.weights.folder import CONFIG, save_folder

SMALL_NET = {key: value for key, value in SMALL.items() if key != "num_classes"}
RECIPE = Recipe(model="vgg_d", model_args=SMALL_NET, init_from="a")
FINETUNE = load_recipe("finetune_small")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the finished runs "a" of net A and "d" of net D."""
    for name in ("a", "d"):
        torch.manual_seed(5)
        net = timm.create_model(f"vgg_{name}", **SMALL)
        options = {"tag": "x", "licence": None, "mean": (1.0, 2.0, 3.0), "input_size": (3, 64, 64), "crop_pct": 1.0}
        save_folder(net, tmp_path / name, **options)
        write_json(tmp_path / name / RESULTS, training_results(finished=True))
    return tmp_path


def test_a_deeper_net_begins_with_net_as_layers(runs: Path) -> None:
    """Four conv and three FC layers; the rest is as it was."""
    net, before = random_net(RECIPE, 5), random_net(RECIPE, 5).state_dict()
    begin_with(beginning(RECIPE, None, runs / "mine"), net, RECIPE)
    net_a = timm.create_model(f"local-dir:{runs / 'a'}", pretrained=True)
    assert torch.equal(net.features[5].weight, net_a.features[3].weight)
    assert torch.equal(net.pre_logits.fc1.weight, net_a.pre_logits.fc1.weight)
    assert torch.equal(net.features[2].weight, before["features.2.weight"])


def test_the_same_net_begins_with_all_its_layers(runs: Path) -> None:
    """From the run beside it, or from the folder that is named."""
    recipe = replace(RECIPE, init_from="d")
    trained = timm.create_model(f"local-dir:{runs / 'd'}", pretrained=True).state_dict()
    for init_from, output in ((None, runs / "mine"), (str(runs / "d"), Path("elsewhere"))):
        net = random_net(recipe, 5)
        begin_with(beginning(recipe, init_from, output), net, recipe)
        assert all(torch.equal(value, trained[key]) for key, value in net.state_dict().items())


def test_an_unfinished_run_is_no_beginning(runs: Path) -> None:
    """Its net would be half trained."""
    write_json(runs / "a" / RESULTS, training_results(finished=False))
    with pytest.raises(ValueError, match="is no finished run of it"):
        beginning(RECIPE, None, runs / "mine")


def test_a_beginning_that_nobody_asked_for_is_refused(runs: Path) -> None:
    """Rather than passed over."""
    with pytest.raises(ValueError, match="this one begins with none"):
        beginning(replace(RECIPE, init_from=None), str(runs / "a"), runs / "mine")


def test_only_the_fc_layers_learn_where_the_recipe_says_so() -> None:
    """Table 6's fine-tuning; or only the last layer."""
    for trainable, expected in (("fc", {"pre_logits", "head"}), ("last", {"head"})):
        net = random_net(replace(RECIPE, trainable=trainable), 5)
        learning = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.requires_grad}
        assert learning == expected


def trained_folder(folder: Path, net: Any, **changes: Any) -> Path:
    """A net as `train.py` and `vgg-zoo convert` leave it."""
    options = {"tag": "x", "licence": None, "mean": (1.0, 2.0, 3.0), "input_size": (3, 64, 64), "crop_pct": 1.0}
    save_folder(net, folder, **options | changes)
    return folder


@pytest.mark.parametrize("classes", [2, 3, 1000])
@pytest.mark.parametrize("name", ["vgg_a", "vgg_e"])
def test_a_new_last_layer_takes_any_number_of_classes_from_any_net(name: str, classes: int, tmp_path: Path) -> None:
    """All layers are the trained net's, bit for bit, but fc8, which is N(0, 0.01²) with biases of 0."""
    trained = small(name)
    folder = trained_folder(tmp_path / "net", trained)
    source = beginning(FINETUNE, str(folder), tmp_path / "mine")
    recipe = following(FINETUNE, source)
    assert (recipe.model, dict(recipe.model_args)) == (name, {**SMALL_NET, "global_pool": "avg"})
    net = random_net(recipe, classes)
    colours = begin_with(source, net, recipe)
    own, given = net.state_dict(), trained.state_dict()
    assert all(torch.equal(own[key], given[key]) for key in own if not key.startswith("head."))
    assert net.head.fc.weight.shape == (classes, 24)
    assert 0 < net.head.fc.weight.std() < 0.02
    assert not net.head.fc.bias.any()
    assert colours is not None
    said = sentences(recipe, str(source), classes, colours)
    assert f"begins with {folder}: {name}, whose layers are copied except fc8" in said
    assert f"for {classes} classes; all but fc8 is frozen\nimages are RGB minus (1, 2, 3), as these weights" in said


def test_images_are_prepared_as_the_trained_nets_were(tmp_path: Path) -> None:
    """Its mean, and its deviation where it has one; the principal components are ILSVRC's."""
    deviation = (58.395, 57.12, 57.375)
    folder = trained_folder(tmp_path / "net", small(), deviation=deviation)
    recipe = following(FINETUNE, str(folder))
    colours = begin_with(str(folder), random_net(recipe, 3), recipe)
    assert colours == replace(IMAGENET_COLOURS, mean=(1.0, 2.0, 3.0), deviation=deviation)
    assert "minus (1, 2, 3), divided by (58.395, 57.12, 57.375)" in sentences(recipe, str(folder), 3, colours)


def test_the_nets_arguments_can_be_changed_but_must_fit(tmp_path: Path) -> None:
    """Dropout is the recipe's own; another width has no such weights."""
    folder = trained_folder(tmp_path / "net", small())
    recipe = following(replace(FINETUNE, model_args={"drop_rate": 0.25}), str(folder))
    assert random_net(recipe, 3).pre_logits.drop.p == 0.25
    wide = following(replace(FINETUNE, model_args={"width_multiplier": 0.2}), str(folder))
    with pytest.raises(ValueError, match=r"the weights do not fit configuration D: misshapen: .*Nothing was loaded"):
        begin_with(str(folder), random_net(wide, 3), wide)


def test_timms_own_nets_are_beginnings_but_those_with_batch_normalisation(tmp_path: Path) -> None:
    """Their layers have the same names."""
    own = timm.create_model("vgg11", num_classes=4)
    folder = trained_folder(tmp_path / "net", own)
    recipe = following(FINETUNE, str(folder))
    assert recipe.model == "vgg_a"
    net = random_net(recipe, 3)
    begin_with(str(folder), net, recipe)
    assert torch.equal(net.pre_logits.fc2.weight, own.pre_logits.fc2.weight)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"architecture": "vgg11_bn"}))
    with pytest.raises(ValueError, match=r"model must be a net of this zoo.*got 'vgg11_bn', which is timm's"):
        following(FINETUNE, str(folder))


def test_weights_by_name_are_the_default(tmp_path: Path) -> None:
    """And what the recipe's name stands for is known without them."""
    assert beginning(FINETUNE, None, tmp_path / "mine") == "vgg_d.oxford_in1k"
    assert following(FINETUNE, "vgg_e.tv_in1k").model == "vgg_e"
    assert following(FINETUNE, "vgg16").model == "vgg_d"
    with pytest.raises(ValueError, match=r"there is no net 'vgg_f' and no folder of this name; near it are"):
        beginning(FINETUNE, "vgg_f", tmp_path / "mine")


def test_a_recipe_that_keeps_the_last_layer_names_those_that_do_not(runs: Path) -> None:
    """Other classes, other preprocessing, and a recipe that begins with random weights."""
    recipe, way_out = replace(RECIPE, init_from="d"), r"--recipe finetune_d .*\(docs/own_classes.md\)"
    with pytest.raises(ValueError, match=rf"tells 5 classes apart and the data set has 3, .*; {way_out}"):
        begin_with(str(runs / "d"), random_net(recipe, 3), recipe)
    with pytest.raises(ValueError, match=rf"tells 5 classes apart and the data set has 3, .*; {way_out}"):
        begin_with(str(runs / "a"), random_net(RECIPE, 3), RECIPE)
    divided = trained_folder(runs / "divided", small(), deviation=(58.0, 57.0, 57.0))
    with pytest.raises(ValueError, match=rf"learned from images divided by \(58, 57, 57\).*; {way_out}"):
        begin_with(str(divided), random_net(recipe, 5), recipe)
    with pytest.raises(ValueError, match=rf"begins with none. For classes of your own, {way_out}"):
        beginning(replace(RECIPE, init_from=None), str(runs / "d"), runs / "mine")
