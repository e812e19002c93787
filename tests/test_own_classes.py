"""docs/own_classes.md, run from top to bottom on real photographs, with Oxford's own convolutions and random ones."""

import json
import os
import re
import runpy
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from tests.forked import ROOT, run_forked
from tests.recipes.commands import ENVIRONMENT
from tests.vgg_zoo.weights.formats import caffe
from tests.vgg_zoo.weights.oxford_trunk import convolutions_of, fetched_model
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.weights.folder import save_folder
from vgg_zoo.weights.read import read_weights

PAGE = (ROOT / "docs/own_classes.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if not line.startswith("NET=")
]
CLASSES = ["cat", "china", "coffee", "flower", "rocket"]


def trunk(folder: Path, oxfords: bool) -> Path:
    """A folder of net D with Oxford's convolutions or random ones; the wheel has no FC layers: those are random."""
    torch.manual_seed(0)
    net = timm.create_model("vgg_d", head_hidden_size=256, head_kernel_size=2, num_classes=1000)
    if oxfords:
        try:
            convolutions = convolutions_of(fetched_model())
        except OSError as error:
            pytest.skip(str(error))
        folder.mkdir()
        (folder / "trunk.caffemodel").write_bytes(caffe(convolutions))
        net.load_state_dict(read_weights(folder / "trunk.caffemodel")[0], strict=False)
        (folder / "trunk.caffemodel").unlink()
    options: dict[str, Any] = {"tag": "x", "licence": None, "input_size": (3, 64, 64), "crop_pct": 1.0}
    save_folder(net, folder, mean=IMAGENET_MEAN, **options)
    return folder


def typed(words: list[str], cwd: Path, net: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, as it is typed in a folder beside this checkout."""
    given = {"$NET": str(net)}
    program, *rest = [given.get(word, word) for word in words]
    if program == "vgg-zoo":
        line = ["-m", "vgg_zoo", *rest]
    else:
        line = [str(ROOT / rest[0]), *rest[1:]] if rest[0].startswith("recipes/") else rest
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    done = run_forked(line, cwd=cwd, environment=environment)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done


def made_photos(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page's Python leaves."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (folder / "photos.py").write_text(code)
    monkeypatch.chdir(folder)
    runpy.run_path("photos.py")


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
def test_from_a_folder_of_photos_to_a_published_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the page; Oxford's trunk is far better than a random one, which learns next to nothing.

    The page's last section has the errors of three runs; the bounds are far from all of them.
    """
    made_photos(tmp_path, monkeypatch)
    oxford, random = trunk(tmp_path / "oxford", True), trunk(tmp_path / "random", False)
    train, evaluate, svm, explain, build, check = COMMANDS

    said = typed(train, tmp_path, oxford).stdout
    assert "note: no validation split: 12 images of 60, a fifth, are held out" in said
    assert f"begins with {oxford}: vgg_d, whose layers are copied but for fc8" in said
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

    ((name, posterior), *_) = DenseEvaluator(tmp_path / "runs/photos").predict(["photos/test/cat/0.jpg"])[0]
    assert name in CLASSES
    assert 0.2 <= posterior <= 1
    typed(explain, tmp_path, oxford)
    with Image.open(tmp_path / "0.explained.png") as picture:
        assert picture.width > 64
    typed(build, tmp_path, oxford)
    assert "may be published as me/vgg_d.photos" in typed(check, tmp_path, oxford).stdout
