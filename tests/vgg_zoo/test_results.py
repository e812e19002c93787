"""results.json: what it must have, and what is said of a file that is something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from vgg_zoo.results import KINDS, RESULTS, VERSION, described, images_of, read_results, reading, training_of
from vgg_zoo.weights.settings import usual_settings


def written(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder with results of a kind, all of whose fields are null."""
    content = described(kind, dict.fromkeys(KINDS[kind].fields)) | changes
    (folder / RESULTS).write_text(json.dumps({key: value for key, value in content.items() if value != "left out"}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    """By its name, or where any is taken."""
    content = read_results(written(tmp_path, kind), kind)
    assert content == read_results(tmp_path) == json.loads((tmp_path / RESULTS).read_text())
    assert list(content)[:2] == ["version", "kind"]
    assert (training_of(tmp_path) is not None) if kind == "training" else True


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    """With the command that writes them; for a net that was not trained here it is no error."""
    with pytest.raises(ValueError, match=r"has no results.json; name the --output of recipes/evaluate.py$"):
        read_results(tmp_path, "classes")
    assert training_of(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object; docs/results.md"),
        ('{"nets": [], "data": {}}', "is of version None, kind None, .*: give its command again with --overwrite"),
        ('{"recipe": "vgg_a_s256"}', "is of version None, kind None, .*: train the net again, or convert the file to"),
        (f'{{"version": {VERSION + 1}, "kind": "boxes"}}', f"is of version {VERSION + 1}, kind 'boxes'"),
        (f'{{"version": {VERSION}, "kind": "boxes"}}', "is what recipes/localise.py writes; name the --output of rec"),
        (f'{{"version": {VERSION}, "kind": "classes"}}', "lacks data, nets, outputs_of_classes, results"),
    ],
)
def test_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """The file is named, and what to do."""
    (tmp_path / RESULTS).write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_results(tmp_path, "classes")
    assert str(tmp_path / RESULTS) in str(raised.value)


def test_a_training_is_not_taken_for_its_test(tmp_path: Path) -> None:
    """Nor the other way round."""
    with pytest.raises(ValueError, match=r"is what recipes/train.py writes; name the --output of recipes/evaluate.py"):
        read_results(written(tmp_path, "training"), "classes")
    with pytest.raises(ValueError, match=r"is what recipes/evaluate.py writes; name the --output of recipes/train.py"):
        training_of(written(tmp_path, "classes"))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("training", {"finished": "no"}, "finished must be bool; got 'no'"),
        ("training", {"finished": 1}, "finished must be bool; got 1"),
        ("training", {"steps": True}, "steps must be int; got True"),
        ("training", {"steps": "10"}, "steps must be int; got '10'"),
        ("training", {"settings": [1]}, r"settings must be dict; got \[1\]"),
        ("classes", {"data": "digits"}, "data must be dict; got 'digits'"),
        ("classes", {"nets": {}}, "nets must be list; got {}"),
        ("boxes", {"close": "0.5"}, "close must be int or float; got '0.5'"),
    ],
)
def test_fields_have_their_types(kind: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A net that has not come to its end is not taken for one that has."""
    with pytest.raises(ValueError, match=f"results.json is not what {KINDS[kind].command} writes: {message}; "):
        read_results(written(tmp_path, kind, **changes))


@pytest.mark.parametrize("data", [None, {}, {"images": 0}, {"images": -3}, {"images": "40"}, {"images": 4.5}])
def test_a_count_is_a_count(data: Any, tmp_path: Path) -> None:
    """Whatever reads the scores of so many images."""
    content = read_results(written(tmp_path, "classes", data=data))
    with pytest.raises(ValueError, match=r"results.json is not what recipes/evaluate.py writes \(.*again"):  # noqa: SIM117
        with reading(tmp_path, "classes"):
            images_of(content)


@pytest.mark.parametrize(
    "settings",
    [{"train_scales": "256"}, {"train_scales": []}, {"train_scales": [64, 1.5]}, {"crop_size": 0}, {"flip": "yes"}],
)
def test_settings_of_a_training_are_what_they_must_be(settings: dict[str, Any], tmp_path: Path) -> None:
    """The scales of a test follow from them."""
    written(tmp_path, "training", settings={"train_scales": [64], "crop_size": 64, "flip": True} | settings)
    with pytest.raises(ValueError, match=r"results.json is not what recipes/train.py writes \(settings"):
        usual_settings(tmp_path)


def test_fields_that_are_missing_are_named(tmp_path: Path) -> None:
    """`{}` lacks even what tells what it is."""
    (tmp_path / RESULTS).write_text("{}")
    with pytest.raises(ValueError, match=r"results.json .*it lacks version, kind: train the net again"):
        training_of(tmp_path)
