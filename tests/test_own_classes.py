"""docs/own_classes.md, run from top to bottom on real photographs, with Oxford's own convolutions and random ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.own_classes import COMMANDS, make_photos, save_trunk, typed
from vgg_zoo.evaluation import DenseEvaluator

CLASSES = ["cat", "china", "coffee", "flower", "rocket"]


def results_of(folder: Path) -> dict[str, Any]:
    """results.json."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_the_page_has_the_commands_that_are_run() -> None:
    """From training to the check of what would be published."""
    assert [" ".join(words[:2]) for words in COMMANDS] == [
        "python recipes/train.py",
        "python recipes/evaluate.py",
        "python recipes/linear_svm.py",
        "vgg-zoo explain",
        "python -m",
        "python -m",
    ]


@pytest.mark.slow
def test_from_a_folder_of_photos_to_a_published_classifier(tmp_path: Path) -> None:
    """Every command of the page; Oxford's trunk is far better than a random one, which learns next to nothing.

    benchmarks/results/finetuning.md has the errors of several seeds; the bounds are far from all of them.
    """
    make_photos(tmp_path)
    try:
        oxford = save_trunk(tmp_path / "oxford", True)
    except OSError as error:
        pytest.skip(str(error))
    random = save_trunk(tmp_path / "random", False)
    train, evaluate, svm, explain, build, check = COMMANDS

    said = typed(train, tmp_path, oxford).stdout
    assert "note: no validation split: 12 images of 60, a fifth, are held out" in said
    assert f"begins with {oxford}: vgg_d, whose layers are copied except fc8" in said
    assert "images are RGB minus (123.68, 116.779, 103.939), as these weights were trained" in said
    assert "batches of 12 images, a quarter of the training set, in place of 16" in said
    settings = json.loads((tmp_path / "runs/photos/run.json").read_text())["settings"]
    assert (settings["crop_size"], settings["epochs"], settings["batch_size"]) == (64, 8, 12)
    assert settings["model_args"]["head_hidden_size"] == 256

    typed(evaluate, tmp_path, oxford)
    tested = results_of(tmp_path / "runs/photos_test")["results"]
    typed(svm, tmp_path, oxford)
    frozen = results_of(tmp_path / "runs/photos_svm")["results"]["figure"]
    typed([word.replace("runs/photos", "runs/random") for word in train], tmp_path, random)
    typed([word.replace("runs/photos", "runs/random") for word in evaluate], tmp_path, random)
    untrained = results_of(tmp_path / "runs/random_test")["results"]
    print(f"top-1 error {tested['top1']:.1%}, of a random trunk {untrained['top1']:.1%}, SVM's recall {frozen:.1%}")
    assert tested["images"] == 40
    assert tested["top1"] < 0.5
    assert tested["top1"] < untrained["top1"] - 0.2
    assert frozen > 0.6

    ((name, posterior), *_) = DenseEvaluator(tmp_path / "runs/photos").predict([tmp_path / "photos/test/cat/0.jpg"])[0]
    assert name in CLASSES
    assert 0.2 <= posterior <= 1
    typed(explain, tmp_path, oxford)
    with Image.open(tmp_path / "0.explained.png") as picture:
        assert picture.width > 64
    typed(build, tmp_path, oxford)
    assert "may be published as me/vgg_d.photos" in typed(check, tmp_path, oxford).stdout
