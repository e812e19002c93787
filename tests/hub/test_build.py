"""`build`: what a folder holds, where its figures come from, and what is refused."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from hub.build import build
from hub.card import figures
from hub.repository.address import parse_address
from hub.repository.files import OPTIONAL, REQUIRED, files_of
from hub.results.classes import Classes
from hub.results.provenance import without_folders
from recipes.evaluation.error_rates import wilson_interval
from tests.helpers import training_results
from tests.hub.nets import REPOSITORY, make_built, make_results, make_run
from vgg_zoo.weights.settings import read_settings

FILES = {*REQUIRED, "dense_eval.json"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A net without results."""
    return make_run(tmp_path / "run")


def built(
    run: Path,
    output: Path,
    *results: Path,
    repo: str = REPOSITORY,
    licence: str | None = "mit",
    overwrite: bool = False,
) -> Path:
    """Build, and say where."""
    build(run, parse_address(repo), output, results, licence, overwrite=overwrite)
    return output


def test_a_folder_has_its_files_and_their_hashes(tmp_path: Path) -> None:
    """coreutils' sha256sum finds every file as it is listed; the weights are the run's, byte for byte."""
    folder = make_built(tmp_path)
    assert set(files_of(folder)) == FILES
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S607
    assert done.stdout.count(": OK") == len(FILES) - 1
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "run0" / "model.safetensors").read_bytes()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """Twice into one folder, and into another."""
    folder = make_built(tmp_path)
    before = {name: (folder / name).read_bytes() for name in files_of(folder)}
    again = make_built(tmp_path)
    assert {name: (again / name).read_bytes() for name in files_of(again)} == before
    assert not list(tmp_path.glob(".*"))


def test_nothing_tells_where_it_was_made(tmp_path: Path) -> None:
    """No path of the machine is in any file: not the run's, not the data set's."""
    run = make_run(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["pretrained_cfg"]["description"] = f"Trained by the recipe vgg_d on {tmp_path / 'photos'}"
    (run / "config.json").write_text(json.dumps(config))
    folder = built(run, tmp_path / "out", make_results(tmp_path / "results", run, spec=str(tmp_path / "photos")))
    assert "\nTrained by the recipe vgg_d on photos.\n" in (folder / "README.md").read_text()
    assert "| photos, validation |" in (folder / "README.md").read_text()
    for name in files_of(folder):
        assert str(tmp_path).encode() not in (folder / name).read_bytes(), name


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/data/photos", "photos"),
        ("~/runs/d", "d"),
        ("--output=~ann/runs/d", "--output=d"),
        ("../../secret/d", "d"),
        *((word, word) for word in ("recipes/train.py", "--data", "--output=runs/d", "0.01", "/", "~")),
    ],
)
def test_a_command_is_kept_without_folders(word: str, kept: str) -> None:
    """Of absolute paths, homes and parents only the name, also behind an option; the rest as it was."""
    assert without_folders(["python", word]) == ["python", kept]


def test_the_cards_figures_are_the_results(run: Path, tmp_path: Path) -> None:
    """In the table and in the model-index, which the Hub parses; the wrapper has the Q of the widest dense test."""
    results = [
        make_results(tmp_path / "one", run, scales=[64], top1=0.325, top5=0.1),
        make_results(tmp_path / "two", run, scales=[64, 96, 128], top1=0.25, top5=0.075),
        make_results(tmp_path / "crops", run, protocol="multi_crop", top1=0.275, top5=0.05, unreadable_images=2),
    ]
    folder = built(run, tmp_path / "out", *results)
    card = ModelCard.load(folder / "README.md")
    found = [(result.metric_name, result.metric_value) for result in card.data.eval_results]
    assert found[:4] == [
        ("top-1 accuracy, dense, Q = 64", 67.5),
        ("top-5 accuracy, dense, Q = 64", 90.0),
        ("top-1 accuracy, dense, Q = 64, 96, 128", 75.0),
        ("top-5 accuracy, dense, Q = 64, 96, 128", 92.5),
    ]
    assert "| dense, Q = 64 | made, validation | 40 | 32.50 | 10.00 | – |" in card.text
    assert "| multi-crop, Q = 64, 96 | made, validation | 40, 2 unreadable | 27.50 | 5.00 | – |" in card.text
    assert card.data.model_name == "vgg_d.made"
    assert read_settings(folder / "dense_eval.json")["scales"] == [64, 96, 128]


def test_the_papers_figures_stand_beside_its_own_test(tmp_path: Path) -> None:
    """Net D, S in [256; 512], Q = 256, 384, 512, on 50,000 images of 1000 classes: 24.8/7.5, typed here again.

    A narrow net D is not the paper's, and has a dash there.
    """
    run = make_run(tmp_path / "run", num_classes=1000)
    about: dict[str, Any] = {"train_scales": [256, 512], "scales": [256, 384, 512], "classes": 1000, "images": 50_000}
    folder = built(run, tmp_path / "out", make_results(tmp_path / "results", run, **about))
    line = "| dense, Q = 256, 384, 512 | made, validation | 50,000 | 25.00 | 5.00 |"
    assert f"{line} – |" in (folder / "README.md").read_text()
    rows = json.loads((folder / "eval_results.json").read_text())
    assert f"{line} 24.8 / 7.5 |" in figures(Classes(), rows, full=True)


def test_names_are_nothing_but_text_in_the_card(tmp_path: Path) -> None:
    """Bars, tags, links and lines of somebody's stay in their cell; five classes have no top-5 error."""
    run = make_run(tmp_path / "run", num_classes=5)
    results = make_results(tmp_path / "results", run, spec="a|b <img>\n[x](y)", classes=5)
    build(run, parse_address(REPOSITORY), tmp_path / "out", [results], "mit", "of `me`\n# not a title")
    text = (tmp_path / "out" / "README.md").read_text()
    assert r"| a\|b \<img> \[x](y), validation | 40 | 25.00 | – | – |" in text
    assert "Of \\`me\\` # not a title." in text
    assert [result.metric_type for result in ModelCard(text).data.eval_results] == ["accuracy"]


def test_a_net_of_full_width_is_timms(tmp_path: Path) -> None:
    """The config names timm's net only where timm's own has the same tensors; a small one needs this package."""
    folder = make_built(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "vgg_d"
    assert "num_classes" not in config["model_args"]
    assert "import vgg_zoo" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_sha256": "0" * 64}, "are of other weights"),
        ({"nets": 2}, "a fusion of 2 nets"),
        ({"top1": float("nan")}, "must be from 0 to 1"),
        ({"unlabelled": True}, "without labels"),
        ({"top1": 1.5}, "must be from 0 to 1"),
        ({"top1": "0.25"}, "top1 must be from 0 to 1; got '0.25'"),
        ({"top1": True}, "top1 must be from 0 to 1; got True"),
        ({"top1": 0.2512}, r"top1 must be a multiple of 1/40, one image of those tested; got 0.2512, 10.048 images"),
        ({"top5": 0.01}, "top5 must be a multiple of 1/40"),
        ({"top5": 0.5}, "top5 must not be greater than top1; got 0.5 and 0.25"),
        ({"top1_interval": [0.3, 0.4]}, "top1 must lie in its interval, 0.3 to 0.4; got 0.25"),
        ({"top5_interval": [0.1, 0.2]}, "top5 must lie in its interval, 0.1 to 0.2; got 0.05"),
        ({"top1_interval": [0.4, 0.1]}, "top1_interval must be two numbers from 0 to 1, the lower first"),
        ({"top1_interval": [-0.1, 0.4]}, "top1_interval must be two numbers from 0 to 1"),
        ({"top1_interval": [0.1, float("nan")]}, "top1_interval must be two numbers from 0 to 1"),
        ({"top1_interval": 0.25}, "top1_interval must be two numbers from 0 to 1"),
        ({"images": 0}, "images must be a whole number of at least 1; got 0"),
        ({"images": 40.0}, "images must be a whole number of at least 1; got 40.0"),
        ({"images_of_data": 41}, "images must be those of the data, 41; got 40"),
        ({"unreadable_images": 3}, "top5 must count the 3 images that cannot be read; got 0.05 of 40"),
        ({"unreadable_images": -1}, "unreadable or unusable images must be from 0 to 40; got -1"),
        ({"classes": 0}, "data.classes must be a number of classes, at least 1; got 0"),
        ({"protocol": "multi_crop"}, "none of the results is dense"),
    ],
)
def test_results_that_cannot_be_published_are_refused(
    run: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Nothing is written then."""
    results = make_results(tmp_path / "results", run, **changes)
    with pytest.raises(ValueError, match=message):
        built(run, tmp_path / "out", results)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "run"]


def test_rates_are_parts_of_the_images_up_to_rounding(run: Path, tmp_path: Path) -> None:
    """Every count of wrong images among 49,999 and of none, as a commands writes it, with its interval."""
    for wrong in (0, 1, 12_345, 49_998, 49_999):
        rate = wrong / 49_999
        figures: dict[str, Any] = {"top1": rate, "top5": rate, "top1_interval": list(wilson_interval(rate, 49_999))}
        built(run, tmp_path / f"out{wrong}", make_results(tmp_path / f"{wrong}", run, images=49_999, **figures))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (name, text)
        for name in ("config.json", "run.json", "results.json")
        for text in ("", '{"architecture": "vg', "{}", "[]")
    ],
)
def test_damaged_files_of_a_run_are_named(run: Path, tmp_path: Path, name: str, text: str) -> None:
    """With the way out; nothing is written."""
    results = make_results(tmp_path / "results", run)
    if name == "run.json":
        (run / "results.json").write_text(json.dumps(training_results(finished=True, results={}, data={})))
    (run / name).write_text(text)
    with pytest.raises(
        ValueError, match=rf"{run / name} (is not|must be|lacks|is of version).*(again|docs/results.md)"
    ):
        built(run, tmp_path / "out", results)
    assert not (tmp_path / "out").exists()


def test_other_mistakes_are_told(run: Path, tmp_path: Path) -> None:
    """No results, another net's name, no licence, a folder of something else, no net; an old build stays."""
    results = make_results(tmp_path / "results", run)
    for message, call in (
        ("there are no results for", lambda: built(run, tmp_path / "out")),
        ("two of the results are for dense", lambda: built(run, tmp_path / "out", results, results)),
        ("has no results.json", lambda: built(run, tmp_path / "out", run)),
        ("holds a vgg_d, and org/vgg_e.made", lambda: built(run, tmp_path / "out", results, repo="org/vgg_e.made")),
        ("--license must be one of", lambda: built(run, tmp_path / "out", results, licence="mine")),
        ("was not built by this command", lambda: built(run, run, results, overwrite=True)),
        ("has no config.json", lambda: built(results, tmp_path / "out", results)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert not (tmp_path / "out").exists()


def test_a_failed_build_leaves_the_older_one(run: Path, tmp_path: Path) -> None:
    """The folder is replaced when it is said so, and the new one is whole."""
    folder = built(run, tmp_path / "out", make_results(tmp_path / "results", run))
    before = (folder / "SHA256SUMS").read_text()
    with pytest.raises(ValueError, match="out is there already; name another place, or replace it with --overwrite"):
        built(run, folder, tmp_path / "results")
    with pytest.raises(ValueError, match="other weights"):
        built(run, folder, make_results(tmp_path / "bad", run, weights_sha256="1" * 64), overwrite=True)
    assert (folder / "SHA256SUMS").read_text() == before


def test_the_recipe_is_the_runs(run: Path, tmp_path: Path) -> None:
    """A trained net adds what was learned, and the training's own single crop; an unfinished one is refused."""
    results = make_results(tmp_path / "results", run)
    tested = json.loads((results / "results.json").read_text())
    training = training_results(
        recipe="made",
        settings={"train_scales": [64, 64]},
        data={"spec": "made", "classes": 10},
        weights_sha256=tested["nets"][0]["weights_sha256"],
        results={"single crop": {"scale": 64, "crop_size": 64, "flip": False, "top1": 0.5, "top5": 0, "images": 40}},
        **{"steps": 10, "epochs": 2, "processes": 1, "finished": True},
        command=["python", "recipes/train.py", "--output", "/somewhere/run"],
        **{name: tested[name] for name in ("commit", "python", "versions")},
    )
    (run / "results.json").write_text(json.dumps(training))
    (run / "run.json").write_text(json.dumps({"recipe": "made", "settings": {"batch_size": 4}}))
    folder = built(run, tmp_path / "out", results)
    assert set(files_of(folder)) == FILES | set(OPTIONAL)
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["settings"] == {"batch_size": 4}
    assert recipe["command"][-1] == "run"
    assert "| single crop, Q = 64 | made, validation | 40 | 50.00 | 0.00 | – |" in (folder / "README.md").read_text()
    (run / "results.json").write_text(json.dumps(training | {"finished": False}))
    with pytest.raises(ValueError, match="has not come to its end"):
        built(run, tmp_path / "out2", results)
