"""Repositories of nets that predict boxes: their rows, settings, card and ONNX file, and every damage of them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from sklearn.datasets import load_sample_image

from hub.build import build
from hub.card import card_of, figures
from hub.check import check
from hub.repository.address import parse_address
from hub.repository.dense_onnx import write_dense_onnx
from hub.repository.files import REQUIRED, files_of, sums_of
from hub.repository.net import load_net
from hub.results.boxes import Boxes
from hub.verify import _compare_answers
from tests.helpers import small, training_results
from tests.hub.nets import BOXES, make_box_results, make_built, make_results, make_run
from tests.hub.test_check import in_json
from vgg_zoo import BoxVGG, Localiser
from vgg_zoo.boxes.frame import boxes_of_map, in_pixels
from vgg_zoo.dense import score_maps
from vgg_zoo.weights.settings import read_localise

FILES = {*REQUIRED, "localise.json"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A net without results."""
    return make_run(tmp_path / "run", "vgg_d_box")


def built(run: Path, output: Path, *results: Path) -> Path:
    """Build, and say where."""
    build(run, parse_address(BOXES), output, results, "mit")
    return output


def test_a_folder_has_its_files(tmp_path: Path) -> None:
    """`localise.json` in the place of `dense_eval.json`; the config names our net, and the folder may be published."""
    folder = make_built(tmp_path, address=BOXES)
    assert set(files_of(folder)) == FILES
    assert json.loads((folder / "config.json").read_text())["architecture"] == "vgg_d_box"
    assert "timm has no such net" in (folder / "README.md").read_text()
    assert str(check(folder)) == f"{BOXES}@v1"
    assert not [name for name in files_of(folder) if str(tmp_path).encode() in (folder / name).read_bytes()]


def test_the_cards_figures_are_the_results(run: Path, tmp_path: Path) -> None:
    """Both protocols in the table and in the model-index, which the Hub parses; the settings of the widest test."""
    results = [
        make_box_results(tmp_path / "wide", run, scales=[96, 64, 128], error=0.225, close=0.3, unusable_images=2),
        make_box_results(tmp_path / "one", run, scales=[64]),
        make_box_results(tmp_path / "true", run, protocol=1),
    ]
    folder = built(run, tmp_path / "out", *results)
    card = ModelCard.load(folder / "README.md")
    assert (card.data.pipeline_tag, card.data.library_name) == ("object-detection", "timm")
    found = [(result.metric_type, result.metric_name, result.metric_value) for result in card.data.eval_results]
    true, dense = "true class given, centre crop, Q = 72", "classes and boxes, dense, Q = 64"
    assert found[:5] == [
        ("localisation_error", f"box error, {true}", 37.5),
        ("mean_iou", f"mean overlap, {true}", 50.0),
        ("localisation_error", f"error of class and box, {dense}, classes by classifier", 25.0),
        ("top_1_localisation_error", f"error of the first guess, {dense}, classes by classifier", 50.0),
        ("classification_error", f"error of the class, {dense}, classes by classifier", 12.5),
    ]
    for line in (
        f"| {true} | made, validation | 40 | 37.50 | – | – | 50.00 | – | – |",
        f"| {dense} | made, validation | 40 | 25.00 | 50.00 | 12.50 | – | classifier | – |",
        f"| {dense}, 96, 128 (merged above 0.3) | made, validation | 40, 2 unusable | 22.50 | 50.00 | 12.50 | – |",
    ):
        assert line in card.text
    assert read_localise(folder / "localise.json") == {"scales": [64, 96, 128], "close": 0.3, "ceil_mode": False}


def training_of(run: Path) -> dict[str, Any]:
    """What recipes/train.py leaves in a run, beside what a test leaves."""
    tested = json.loads((make_box_results(run.with_name("any"), run) / "results.json").read_text())
    result = {"name": "true class, centre crop", "scale": 72, "crop_size": 64, "flip": False, "images": 40}
    return training_results(
        settings={"train_scales": [72, 72], "trainable": "fc"},
        data={"spec": "made", "classes": 10},
        weights_sha256=tested["nets"][0]["weights_sha256"],
        results={"true class, centre crop": {**result, "box_error": 0.5, "mean_overlap": 0.25}},
        **{name: tested[name] for name in ("command", "commit", "python", "versions")},
    )


def test_a_training_alone_will_do(run: Path, tmp_path: Path) -> None:
    """Its own test is a row and gives the settings; a test of the same protocol and Q takes its place."""
    (run / "results.json").write_text(json.dumps(training_of(run)))
    folder = built(run, tmp_path / "out")
    (row,) = json.loads((folder / "eval_results.json").read_text())
    assert (row["protocol"], row["box_error"], row["trainable"]) == ("true_class", 0.5, "fc")
    assert (row["train_scales"], row["regression"], row["classifiers"]) == ([72], "pcr", [])
    assert read_localise(folder / "localise.json") == {"scales": [72], "close": 0.5, "ceil_mode": False}
    assert 'classifier = "path/to/classifier"' in (folder / "README.md").read_text()
    check(folder)
    again = built(run, tmp_path / "again", make_box_results(tmp_path / "true", run, protocol=1))
    (row,) = json.loads((again / "eval_results.json").read_text())
    assert row["box_error"] == 0.375


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_sha256": "0" * 64}, "are of other weights"),
        ({"nets": 2}, "the boxes of 2 nets together"),
        ({"error": float("nan")}, "error must be from 0 to 1"),
        ({"protocol": 1, "mean_overlap": 1.5}, "mean_overlap must be from 0 to 1"),
        ({"protocol": 1, "box_error": 0.36}, "box_error must be a multiple of 1/40"),
        ({"protocol": 1, "box_error": 0.525}, "box_error must lie in its interval, 0.2 to 0.5; got 0.525"),
        (
            {"error": 0.525, "error_interval": [0.4, 0.6]},
            "error must not be greater than top1_error; got 0.525",
        ),
        ({"class_error": 0.375}, "class_error must not be greater than error; got 0.375 and 0.25"),
        ({"error_interval": [0.3, 0.4]}, "error must lie in its interval, 0.3 to 0.4; got 0.25"),
        ({"unusable_images": 6}, "class_error must count the 6 images that cannot be read; got 0.125 of 40"),
        ({"protocol": 1, "weights_sha256": None}, "are of other weights"),
    ],
)
def test_results_that_cannot_be_published_are_refused(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Nothing is written then."""
    results = make_box_results(tmp_path / "results", run, **changes)
    with pytest.raises(ValueError, match=message):
        built(run, tmp_path / "out", results)
    assert not (tmp_path / "out").exists()


def test_results_of_the_other_kind_are_refused(run: Path, tmp_path: Path) -> None:
    """Each message names the recipe that tests such a net."""
    with pytest.raises(
        ValueError, match=r"is what recipes/evaluate\.py writes; name the --output of recipes/localise\.py"
    ):
        built(run, tmp_path / "out", make_results(tmp_path / "classes", run))
    with pytest.raises(ValueError, match=r"run recipes/localise\.py --protocol 1 --net .*run --output FOLDER"):
        built(run, tmp_path / "out")
    two = [make_box_results(tmp_path / name, run) for name in ("one", "two")]
    with pytest.raises(ValueError, match="two of the results are for classes and boxes"):
        built(run, tmp_path / "out", *two)
    classes = make_run(tmp_path / "classifier")
    with pytest.raises(
        ValueError, match=r"is what recipes/localise\.py writes; name the --output of recipes/evaluate\.py"
    ):
        build(
            classes,
            parse_address("org/vgg_d.made"),
            tmp_path / "out",
            [make_box_results(tmp_path / "x", classes)],
            "mit",
        )


def test_the_papers_figures_stand_beside_its_own_tests(tmp_path: Path) -> None:
    """Tables 8 and 9, typed here again: net D, PCR, all layers, S = 384; a narrow net has a dash."""
    run = make_run(tmp_path / "run", "vgg_d_box", num_classes=1000)
    about: dict[str, Any] = {"train_scales": [384], "classes": 1000, "images": 50_000}
    results = [
        make_box_results(tmp_path / "true", run, protocol=1, scales=[384], **about),
        make_box_results(tmp_path / "dense", run, scales=[352, 384], **about),
        make_box_results(tmp_path / "other", run, scales=[384], **{**about, "images": 49_992}),
    ]
    folder = built(run, tmp_path / "out", *results)
    rows = json.loads((folder / "eval_results.json").read_text())
    last = [[line.split(" | ")[-1] for line in figures(Boxes(), rows, full).splitlines()[2:]] for full in (True, False)]
    assert last == [["33.1 |", "– |", "27.5 |"], ["– |"] * 3]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that may be published."""
    return make_built(tmp_path_factory.mktemp("boxes"), address=BOXES)


def other_onnx(name: str) -> Callable[[Path], None]:
    """The ONNX file of another net."""
    return lambda folder: write_dense_onnx(small(name, num_classes=10), folder / "onnx" / "dense.onnx")


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no settings": (lambda folder: (folder / "localise.json").unlink(), r"must have localise\.json"),
    "a classifier's settings": (
        lambda folder: (folder / "localise.json").rename(folder / "dense_eval.json"),
        r"has dense_eval\.json, and must have localise\.json",
    ),
    "both": (lambda folder: (folder / "dense_eval.json").write_text("{}"), r"has dense_eval\.json, localise\.json"),
    "other scales": (in_json("localise.json", lambda it: it.update(scales=[64])), "is not of the widest dense test"),
    "no scales": (in_json("localise.json", lambda it: it.update(scales=[])), "scales must be smallest sides"),
    "another merging": (in_json("localise.json", lambda it: it.update(close=1.5)), "close must be an overlap"),
    "settings nobody knows": (in_json("localise.json", lambda it: it.update(top=5)), "must have exactly the keys"),
    "another regression": (
        in_json("config.json", lambda it: it["model_args"].update(regression="xyz")),
        "unknown regression 'xyz'",
    ),
    "one box": (in_json("config.json", lambda it: it["model_args"].update(regression="scr")), "of another net"),
    "another configuration": (
        in_json("eval_results.json", lambda rows: rows[0].update(configuration="E")),
        "results of another net",
    ),
    "other weights": (
        in_json("eval_results.json", lambda rows: rows[0].update(weights_sha256="0" * 64)),
        "results of other weights",
    ),
    "no results": (in_json("eval_results.json", lambda rows: rows.clear()), "has no results"),
    "a protocol nobody knows": (
        in_json("eval_results.json", lambda rows: rows[0].update(protocol="dense")),
        "are not what `python -m hub build` writes",
    ),
    "an impossible error": (
        in_json("eval_results.json", lambda rows: rows[0].update(error=-0.1)),
        "not from 0 to 1",
    ),
    "flattered results": (
        in_json("eval_results.json", lambda rows: rows[0].update(error=0.2)),
        "is not what the files beside it say",
    ),
    "the ONNX file of a classifier": (other_onnx("vgg_d"), "gives class_score_map, posteriors, and must give box_map"),
    "the ONNX file of another net": (other_onnx("vgg_d_box"), r"1 × 64 × 64, box_map, differs"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_every_damage_is_found(original: Path, tmp_path: Path, what: str) -> None:
    """Even if the hashes are computed again."""
    damage, message = DAMAGES[what]
    folder = Path(shutil.copytree(original, tmp_path / "folder"))
    damage(folder)
    (folder / "SHA256SUMS").write_text(sums_of(folder))
    with pytest.raises(ValueError, match=message):
        check(folder)


def test_a_net_of_one_box_can_be_published(tmp_path: Path) -> None:
    """SCR; the card says so, and its net is one."""
    run = make_run(tmp_path / "run", "vgg_a_box", regression="scr")
    results = make_box_results(tmp_path / "results", run)
    build(run, parse_address("org/vgg_a_box.made"), tmp_path / "out", [results], "mit")
    check(tmp_path / "out")
    net = load_net(tmp_path / "out")
    assert isinstance(net, BoxVGG)
    assert net.regression == "scr"
    assert "one box, whatever the class (SCR)" in (tmp_path / "out" / "README.md").read_text()


def test_verify_compares_boxes(original: Path, tmp_path: Path) -> None:
    """The boxes of another net are detected."""
    _compare_answers(Boxes(), original, original, load_net(original))
    with pytest.raises(ValueError, match="the published net's boxes differ"):
        _compare_answers(Boxes(), original, original, small("vgg_d_box", num_classes=10))


def test_a_localiser_takes_the_settings_of_a_published_net(original: Path, tmp_path: Path) -> None:
    """Its scales and the overlap of merging; what the caller says goes before."""
    folder = Path(shutil.copytree(original, tmp_path / "folder"))
    in_json("localise.json", lambda it: it.update(close=0.25))(folder)
    classifier = str(make_run(tmp_path / "classifier"))
    for source in (folder, f"local-dir:{folder}"):
        found = Localiser(source, classifier)
        assert (found.scales_of_nets, found.close) == ([(64, 96)], 0.25)
    assert Localiser([folder, folder], classifier).close == 0.5
    assert Localiser([folder, load_net(folder)], classifier).scales_of_nets == [(64, 96), (72,)]
    assert Localiser([folder, folder], classifier, [None, [128]]).scales_of_nets == [(64, 96), (128,)]
    told = Localiser(folder, classifier, [128], close=0.75)
    assert (told.scales_of_nets, told.close) == ([(128,)], 0.75)


def test_the_cards_numpy_decodes_the_frame(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippet of ONNX gives the boxes that the package reads off the same map."""
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, name, revision: str(original / name))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(load_sample_image("china.jpg")).save("photo.jpg")
    (snippet,) = re.findall(r"```python\n(import numpy.*?)```", card_of(original), re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 (our own card)
    assert capsys.readouterr().out.startswith("(10, ")
    net, pixels = load_net(original), torch.from_numpy(names["images"]).byte()
    height, width = pixels.shape[2:]
    with torch.inference_mode():
        boxes = boxes_of_map(net.by_box(score_maps(net, pixels, False, 2**20)), height, width, 64)  # type: ignore[operator]
    expected = in_pixels(boxes, names["photo"].height, names["photo"].width)[0].numpy()
    assert np.allclose(names["corners"].reshape(expected.shape), expected, atol=1e-2)
