"""docs/adding.md, run: each of its examples does what the page says."""

import ast
import csv
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import vgg_zoo
from hub.results import rows
from hub.results.kind import Kind
from recipes import evaluate, train
from recipes.data import source
from recipes.data.splits import load_splits
from tests.forked import ROOT
from tests.helpers import small
from vgg_zoo import evaluation
from vgg_zoo.entrypoints import predicts
from vgg_zoo.localisation import Localiser
from vgg_zoo.results import read_results

PAGE = (ROOT / "docs/adding.md").read_text()
EXAMPLES = {
    title: re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)  # type: ignore[union-attr]
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
SMALLEST: dict[str, Any] = {"width_multiplier": 0.05, "head_hidden_size": 16, "head_kernel_size": 1, "num_classes": 3}


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Any]:
    """Import the example of a heading as a module of some name."""
    made = []

    def imported(title: str, name: str) -> ModuleType:
        file = tmp_path / f"{name.rpartition('.')[2]}.py"
        file.write_text(EXAMPLES[title])
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        made.append(name)
        spec.loader.exec_module(module)
        return module

    yield imported
    for name in made:
        del sys.modules[name]


def forget(*nets: str) -> None:
    """Take nets out of timm's registry."""
    registry = timm.models._registry
    for net in nets:
        registry._model_entrypoints.pop(net)
        registry._module_to_models["added"].discard(net)
        registry._model_to_module.pop(net)
        registry._model_default_cfgs.pop(net, None)
        for tagged in [name for name in registry._model_pretrained_cfgs if name.partition(".")[0] == net]:
            del registry._model_pretrained_cfgs[tagged]
    predicts.cache_clear()


def test_every_section_has_an_example() -> None:
    """And no example stands outside of one."""
    assert list(EXAMPLES) == ["A net", "Weights", "A recipe", "A data set", "An evaluation", "A published kind"]
    assert PAGE.count("```python") == len(EXAMPLES)


def test_a_net_is_taken_by_its_name(example: Any) -> None:
    """By timm, the evaluation, the descriptors, and the localisation; its names say what it predicts."""
    module = example("A net", "added")
    try:
        assert module.F.weight_layers == 11
        net = timm.create_model("vgg_f", **SMALLEST).eval()
        boxes = timm.create_model("vgg_f_box", **SMALLEST).eval()
        assert (predicts("vgg_f"), predicts("vgg_f_box.untrained")) == ("classes", "boxes")
        image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        assert vgg_zoo.DenseEvaluator(net, scales=(32,))([image]).sum().item() == pytest.approx(1)
        assert len(Localiser(boxes, vgg_zoo.DenseEvaluator(net, scales=(32,)), (32,))(image)) == 3
    finally:
        forget("vgg_f", "vgg_f_box")


def test_weights_are_a_row(example: Any) -> None:
    """The first one with weights is the default."""
    cfgs = example("Weights", "added_weights").default_cfgs
    assert list(cfgs["vgg_f"].tags) == ["mine_in1k", "untrained"]
    assert cfgs["vgg_f"].default.hf_hub_id == "me/vgg_f.mine_in1k"


@pytest.mark.slow
def test_a_recipe_trains(tmp_path: Path) -> None:
    """Two steps, by the command."""
    file = tmp_path / "wide.py"
    file.write_text(EXAMPLES["A recipe"])
    words = ["--recipe", str(file), "--data", "digits", "--output", str(tmp_path / "out"), "--max-steps", "2"]
    assert train.main(words) == 0
    results = read_results(tmp_path / "out", "training")
    assert (results["steps"], results["settings"]["model_args"]["width_multiplier"]) == (2, 0.5)


def test_a_reader_reads(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up folder; others are left to the next reader."""
    folder = tmp_path / "set"
    folder.mkdir()
    lines = [(f"{number}.png", "ab"[number % 2]) for number in range(10)]
    for number, (name, _) in enumerate(lines):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / name)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    example("A data set", "recipes.data.labels_csv")
    monkeypatch.setattr(source, "READERS", (*source.READERS, "labels_csv"))
    training, validation = load_splits(str(folder))
    assert training.class_names == ("a", "b")
    assert (len(training), len(validation)) == (8, 2)
    for split in (training, validation):
        for index in range(len(split)):
            assert split.pixels(index)[0, 0, 0] % 2 == split.label(index)
    assert len(load_splits("digits")[0]) == 1437


def test_an_evaluation_is_one_function(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The centre crop's soft-max; and by the command."""
    monkeypatch.setattr(evaluation, "PROTOCOLS", dict(evaluation.PROTOCOLS))
    example("An evaluation", "added_evaluation")
    net = small("vgg_a", num_classes=10)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    evaluator = vgg_zoo.DenseEvaluator(net, (64,), flip=False, protocol="centre_crop", exact=True)
    expected = vgg_zoo.DenseEvaluator(net, (64,), flip=False, exact=True)([image])
    torch.testing.assert_close(evaluator([image]), expected)
    evaluator.save_pretrained(tmp_path / "net")
    words = ["--model", str(tmp_path / "net"), "--data", "digits", "--output", str(tmp_path / "out")]
    assert evaluate.main(words) == 0
    results = read_results(tmp_path / "out", "classes")
    assert (results["nets"][0]["protocol"], results["results"]["images"]) == ("centre_crop", 360)


def test_a_published_kind_is_chosen_by_what_nets_predict(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is whole, and found."""
    monkeypatch.setattr(rows, "KINDS", rows.KINDS)
    kind = example("A published kind", "added_kind").Attributes()
    assert isinstance(kind, Kind)
    monkeypatch.setattr(rows, "predicts", lambda name: "attributes")
    assert type(rows.kind_of("vgg_x")).__name__ == "Attributes"


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?:vgg_zoo|recipes|hub)/[\w/]+\.py)`", PAGE))))
def test_the_places_are_there(file: str) -> None:
    """Every file that the page names, and every table in it."""
    source_of = (ROOT / file).read_text()
    names = {node.id for node in ast.walk(ast.parse(source_of)) if isinstance(node, ast.Name)}
    asked = {
        "vgg_zoo/configurations.py": {"TABLE_1", "NAMES"},
        "recipes/data/source.py": {"READERS"},
        "vgg_zoo/evaluation.py": {"PROTOCOLS"},
        "hub/results/rows.py": {"KINDS"},
        "vgg_zoo/results.py": {"KINDS"},
    }
    assert asked.get(file, set()) <= names
