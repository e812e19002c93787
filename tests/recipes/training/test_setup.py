"""What a run begins with (Sect. 3.1)."""

from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import timm
import torch
from PIL import Image

from recipes.data.source import DataSource
from recipes.recipe import Recipe
from recipes.runtime.files import write_json
from recipes.training.setup import begin_with, beginning, load, random_net
from tests.helpers import SMALL, training_results
from vgg_zoo.results import RESULTS
from vgg_zoo.weights.folder import save_folder

SMALL_NET = {key: value for key, value in SMALL.items() if key != "num_classes"}
RECIPE = Recipe(model="vgg_d", model_args=SMALL_NET, init_from="a")


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
    begin_with(beginning(RECIPE, None, runs / "mine"), net)
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
        begin_with(beginning(recipe, init_from, output), net)
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
    """Table 6's fine-tuning."""
    net = random_net(replace(RECIPE, trainable="fc"), 5)
    learning = {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert learning == {"pre_logits", "head"}


def test_a_batch_larger_than_the_set_is_refused_before_a_run_begins() -> None:
    """With the set's size and the way out, whatever is learned."""
    source = DataSource(spec="digits")
    assert len(load(replace(RECIPE, batch_size=1437), source).training) == 1437
    message = r"batch_size 1438 is larger than the training set of 1437 images; take a recipe .* at most 1437, "
    with pytest.raises(ValueError, match=message):
        load(replace(RECIPE, batch_size=1438), source)


def test_a_training_set_of_one_class_is_refused(tmp_path: Path) -> None:
    """Its loss falls to 0 and its error is 0: nothing else would tell."""
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee", "cat"]))
    rows = {"image": [Image.new("RGB", (8, 8))] * 10, "label": [1] * 10}
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(str(tmp_path / "set"))
    message = r"all 8 training images are of one class, 'bee', of 3; .*--label-column"
    with pytest.raises(ValueError, match=message):
        load(replace(RECIPE, batch_size=4), DataSource(spec=str(tmp_path / "set")))
