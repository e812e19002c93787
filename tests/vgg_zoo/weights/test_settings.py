"""Whoever evaluates a trained net takes the net's own settings, by whatever way the net was given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import vgg_zoo
from recipes.evaluation.net import load_net
from tests.helpers import small, training_results
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.localisation import Localiser
from vgg_zoo.weights import settings
from vgg_zoo.weights.folder import save_folder
from vgg_zoo.weights.settings import usual_settings
from vgg_zoo_cli.main import main

SETTINGS = {"train_scales": [80, 96], "crop_size": 64, "flip": False}
PHOTO = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as training leaves it: S in [80; 96], crops of 64 pixels, without flips."""
    folder, torch_net = tmp_path / "run", small()
    save_folder(torch_net, folder, tag="t", licence=None, mean=(99,) * 3, input_size=(3, 64, 64), crop_pct=0.7)
    (folder / "results.json").write_text(json.dumps(training_results(settings=SETTINGS)))
    return folder


def loaded(folder: Path) -> Any:
    """A net that timm loaded."""
    return timm.create_model(f"local-dir:{folder}", pretrained=True)


WAYS: dict[str, Callable[[Path], Any]] = {
    "folder": str,
    "path": lambda folder: folder,
    "timm's name": lambda folder: f"local-dir:{folder}",
    "net": loaded,
    "fast copy": lambda folder: vgg_zoo.fast_inference(loaded(folder)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_runs_own_settings_are_taken_everywhere(way: str, run: Path, tmp_path: Path) -> None:
    """Evaluator, descriptors, scikit-learn's transformer, the localiser's classifier: S of training, no flips."""
    net = WAYS[way](run)
    evaluator = DenseEvaluator(net)
    assert (evaluator.scales, evaluator.flip, evaluator.ceil_mode) == ((80, 88, 96), False, False)
    assert "scales=[80, 88, 96], flip=False" in repr(evaluator)
    assert repr(evaluator).endswith("settings from results.json)")
    expected = DenseEvaluator(loaded(run), (80, 88, 96), flip=False)
    assert torch.equal(evaluator([PHOTO]), expected([PHOTO]))
    assert "settings from the caller" not in repr(expected)  # its pooling was not given
    descriptor = DenseDescriptor(net)
    assert (descriptor.scales, descriptor.flip, descriptor.settings_from) == ((80, 88, 96), False, "results.json")
    theirs = ImageDescriptor(net).transform([PHOTO])
    np.testing.assert_array_equal(
        theirs, ImageDescriptor(loaded(run), scales=(80, 88, 96), flip=False).transform([PHOTO])
    )
    assert Localiser(small("vgg_a_box"), net, (64,)).evaluators[0].scales == (80, 88, 96)


def test_the_commands_take_them_too(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`vgg-zoo predict` and `recipes/evaluate.py`; an option overrides one setting and no other."""
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    assert main(["predict", str(photo), "--model", str(run)]) == 0
    found = [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()[1:]]
    expected = DenseEvaluator(run, (80, 88, 96), flip=False).predict([photo])[0]
    assert found == [[f"{posterior:.3f}", name] for name, posterior in expected]
    tested = load_net(str(run), None, 2**20, {"scales": [64], "flip": None})
    assert (tested.evaluator.scales, tested.evaluator.flip, tested.train_scales) == ((64,), False, [80, 96])
    assert tested.description()["settings_from"] == "results.json"


def test_kept_settings_come_before_the_trainings(run: Path) -> None:
    """`dense_eval.json`, as `save_pretrained` wrote it; and a setting that is given before both."""
    kept = DenseEvaluator(run, 72, flip=True, protocol="multi_crop", softmax_first=True, ceil_mode=True)
    kept.save_pretrained(run)
    for net in (run, loaded(run)):
        evaluator = DenseEvaluator(net)
        assert (evaluator.settings, evaluator.settings_from) == (kept.settings, "dense_eval.json")
        assert DenseEvaluator(net, flip=False).settings == kept.settings | {"flip": False}
        assert ImageDescriptor(net).fit([])._descriptor().ceil_mode


def test_without_any_they_are_the_papers(run: Path) -> None:
    """Of a folder that tells nothing, a name, and a net with random weights."""
    (run / "results.json").unlink()
    for net in (run, loaded(run), small()):
        evaluator = DenseEvaluator(net)
        assert (evaluator.scales, evaluator.flip, evaluator.protocol) == ((256, 384, 512), True, "dense")
        assert evaluator.settings_from == "the paper"
    assert usual_settings("vgg_d.tv_in1k").source == "the paper"  # and the Hub is not asked


def test_a_repository_on_the_hub_has_its_own(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The repository's file is used; if the Hub cannot be reached, a warning says what is assumed."""
    asked: list[Any] = []

    def answer(repository: str, name: str, revision: str | None) -> Path | None:
        asked.append((repository, name, revision))
        return run / name if (run / name).is_file() else None

    monkeypatch.setattr(settings, "optional_file", answer)
    DenseEvaluator(small(), (72,), flip=False).save_pretrained(run)
    net = small()
    net.pretrained_cfg = {**net.pretrained_cfg, "source": "hf-hub", "hf_hub_id": "me/net@abc"}
    for source in ("hf-hub:me/net@abc", net):
        assert usual_settings(source).values["scales"] == [72]
    assert asked == [("me/net", "dense_eval.json", "abc")]  # once in a process

    def offline(*_: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(settings, "optional_file", offline)
    net.pretrained_cfg["hf_hub_id"] = "me/net@main"
    with pytest.warns(UserWarning, match=r"cannot check whether me/net has a dense_eval.json.*no network"):
        assert usual_settings(net).source == "the paper"
