"""results.json: what it must have, and what is said of a file that is something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from vgg_zoo.results import KINDS, RESULTS, VERSION, described, read_results, training_of


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
    """With the command that writes them; of a net that nobody trained here that is no error."""
    with pytest.raises(ValueError, match=r"has no results.json; name the --output of recipes/evaluate.py$"):
        read_results(tmp_path, "classes")
    assert training_of(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object; docs/results.md"),
        ('{"nets": [], "data": {}}', "is of version None, kind None, .*: give its command again with --overwrite"),
        ('{"recipe": "vgg_a_s256"}', "is of version None, kind None, .*: train the net again, or bring the file into"),
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
