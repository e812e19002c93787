"""The whole way of a net that predicts boxes: train, localise, build, check, plan, publish, verify, lock, use."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from hub.repository.files import files_of
from hub.results.boxes import Boxes
from tests.forked import HEAVY, ROOT, run_forked
from tests.hub.commands import holds, make_hub, package_copy, python, succeed
from tests.hub.local_hub import LocalHub, environment
from tests.recipes.commands import command
from tests.recipes.commands import succeed as recipe
from tests.recipes.data_sets import net_folder
from tests.recipes.pasted import pasted_folder

REPOSITORY, NAME = "org/vgg_a_box.tiny", "vgg_a_box.tiny"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, Path]]:
    """A net that was trained, tested by both protocols and published, and the folder with all of it."""
    place = tmp_path_factory.mktemp("world")
    run, classifier = place / "run", net_folder(place / "classifier", num_classes=10)
    data = ["--data", pasted_folder(place / "data"), "--label-column", "label"]
    recipe(command("train", "--recipe", "tests/recipes/tiny_boxes.py", *data, "--output", run))
    recipe(command("localise", "--protocol", 1, "--net", run, *data, "--output", place / "true_class"))
    nets = ["--net", run, 32, 40, "--classifier", classifier]
    recipe(command("localise", *nets, *data, "--output", place / "classes_and_boxes"))
    checkout, home, folder = package_copy(place / "checkout"), place / "home", place / "built"
    with make_hub(place / "hub") as hub:
        results = ["--results", place / "true_class", place / "classes_and_boxes"]
        about = ["--repo", REPOSITORY, *results, "--license", "apache-2.0", "--output", folder]
        succeed(hub, home, "build", run, *about)
        succeed(hub, home, "check", folder)
        assert hub.requests == []
        assert "would be made" in succeed(hub, home, "plan", folder)
        assert "was published" in succeed(hub, home, "publish", folder)
        assert "the boxes are the folder's" in succeed(hub, home, "verify", folder)
        assert f"timm.create_model('{NAME}') works" in succeed(hub, home, "lock", folder, cwd=checkout)
        yield hub, place


def test_the_folder_is_there_with_what_was_learned(world: tuple[LocalHub, Path]) -> None:
    """Both rows of exactly these weights, the settings of the second, and the training's recipe."""
    hub, place = world
    assert holds(hub, place / "built", REPOSITORY)
    assert not [
        name for name in files_of(place / "built") if str(place).encode() in (place / "built" / name).read_bytes()
    ]
    rows = json.loads((place / "built/eval_results.json").read_text())
    assert [(row["protocol"], row["scales"]) for row in rows] == [
        ("true_class", [40]),
        ("classes_and_boxes", [32, 40]),
    ]
    expected = {"scales": [32, 40], "close": 0.5, "ceil_mode": False}
    assert json.loads((place / "built/localise.json").read_text()) == expected
    assert json.loads((place / "built/recipe.json").read_text())["settings"]["objective"] == "boxes"


LOAD = f"""
import sys, timm, torch, vgg_zoo
images = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
nets = [timm.create_model(name, pretrained=True).eval() for name in ("{NAME}", "hf-hub:{REPOSITORY}@v1", sys.argv[1])]
outputs = [net(images) for net in nets]
assert all(type(net) is vgg_zoo.BoxVGG and net.regression == "pcr" for net in nets)
assert all(torch.equal(outputs[0], other) for other in outputs[1:])
for net in ("{NAME}", "hf-hub:{REPOSITORY}@v1", *nets):
    assert vgg_zoo.Localiser(net, sys.argv[2]).scales_of_nets == [(32, 40)]
print(timm.list_pretrained("vgg_a*").count("{NAME}"))
"""


def test_timm_loads_it_by_name_with_its_scales(world: tuple[LocalHub, Path]) -> None:
    """From a fresh cache, the same net as by its address and from the folder; then without a network."""
    hub, place = world
    for extra in ({}, {"HF_HUB_OFFLINE": "1"}):
        words = [f"local-dir:{place / 'built'}", place / "classifier"]
        done = python(hub, place / "named", LOAD, *words, cwd=place / "checkout", **extra)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "1"


BESIDE = f"""
from vgg_zoo.weights.hub_file import optional_file
print(optional_file("{REPOSITORY}", "dense_eval.json", "v1"))
"""


def test_settings_that_are_not_there_are_none(world: tuple[LocalHub, Path], tmp_path: Path) -> None:
    """Where the Hub says so; without a network, which may hide them, it is an error."""
    hub, _ = world
    assert python(hub, tmp_path / "home", BESIDE).stdout.strip() == "None"
    done = python(hub, tmp_path / "other", BESIDE, HF_HUB_OFFLINE="1")
    assert done.returncode != 0
    assert "LocalEntryNotFoundError" in done.stderr


def test_the_zoos_table_has_it(world: tuple[LocalHub, Path]) -> None:
    """`vgg-zoo list` has nets that predict boxes where there are weights of them."""
    _, place = world
    table = run_forked(["-m", "vgg_zoo", "list"], preload=HEAVY, cwd=place / "checkout")
    assert re.search(rf"^{re.escape(NAME)}\tA\t", table.stdout, re.MULTILINE), table.stdout + table.stderr


@pytest.mark.parametrize("protocol", [1, 2])
def test_its_test_gives_the_cards_figures_again(world: tuple[LocalHub, Path], protocol: int) -> None:
    """By its name alone, at the Q and with the weights' hash that were published."""
    hub, place = world
    row = json.loads((place / "built/eval_results.json").read_text())[protocol - 1]
    output = place / f"again_{protocol}"
    words = ["--net", NAME, "--data", place / "data", "--label-column", "label", "--output", output]
    words += ["--classifier", place / "classifier"] if protocol == 2 else ["--protocol", 1]
    given = environment(hub, place / "fresh")
    done = run_forked(["recipes/localise.py", *words], preload=HEAVY, cwd=place / "checkout", environment=given)
    assert done.returncode == 0, done.stderr
    again = json.loads((output / "results.json").read_text())
    name = "box_error" if protocol == 1 else "error"
    rates = Boxes().rates(row)
    assert {each: again["results"][each] for each in rates} == pytest.approx(rates, rel=1e-6)
    assert again["results"]["images"] == row["images"]
    assert again["nets"][0]["scales"] == row["scales"]
    assert again["nets"][0]["weights_sha256"] == row["weights_sha256"]
    assert f"| {100 * row[name]:.2f} |" in (place / "built/README.md").read_text()


def test_the_cards_snippets_run(world: tuple[LocalHub, Path], tmp_path: Path) -> None:
    """Each in a process and with a cache of its own, as somebody who copies it and has the classifier."""
    hub, place = world
    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "photo.jpg")
    shutil.copytree(place / "classifier", tmp_path / "classifier")
    card = (place / "built/README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(snippets) == 5
    for number, snippet in enumerate(snippets):
        done = python(hub, tmp_path / f"home{number}", snippet, cwd=tmp_path, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, f"{snippet}\n{done.stderr}"
        assert done.stdout.strip()
    with Image.open(tmp_path / "localised.png") as drawn, Image.open(tmp_path / "photo.jpg") as photo:
        assert drawn.size == photo.size
