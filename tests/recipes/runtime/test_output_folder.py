"""The folder that a command writes to: a run.json that is damaged, or of something else."""

import json
import sys
from pathlib import Path

import pytest

from recipes.runtime.lock import release
from recipes.runtime.output_folder import OutputFolder
from tests.recipes.commands import check_written
from vgg_zoo.results import read_results

IDENTITY = {"recipe": "tiny", "settings": {"scales": (32, 64)}, "classes": ["a", "b"], "images": 7}


def test_the_same_run_is_begun_again(tmp_path: Path) -> None:
    """As it was written; another one is refused by what differs."""
    folder = OutputFolder(tmp_path / "out")
    for _ in range(2):
        folder.begin(IDENTITY, overwrite=False)
    message = r"holds a run of something else \(images is 7 there and 8 now; settings.scales is \[32, 64\] there"
    with pytest.raises(ValueError, match=message):
        folder.begin({**IDENTITY, "settings": {"scales": (32, 48)}, "images": 8}, overwrite=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(IDENTITY)[:30], r"is not JSON \(.*: truncated or damaged\)"),
        ("", r"is not JSON \(it is empty\)"),
        ("[]", "must be an object, but is a list"),
        ("{}", "lacks classes, images, recipe, settings"),
        ('{"recipe": "tiny", "images": 7, "settings": {}}', "lacks classes"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By the file, with the way out, which works; nothing is changed before."""
    folder = OutputFolder(tmp_path)
    folder.identity.write_text(text)
    with pytest.raises(ValueError, match=f"run.json {message}; choose another --output than .*, or .*--overwrite$"):
        folder.begin(IDENTITY, overwrite=False)
    assert folder.identity.read_text() == text
    folder.begin(IDENTITY, overwrite=True)
    assert json.loads(folder.identity.read_text())["images"] == 7


def test_results_that_say_the_same_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what made them; others, and damaged ones, are replaced."""
    folder, content = (
        OutputFolder(tmp_path),
        dict.fromkeys(("nets", "data", "outputs_of_classes")) | {"results": {"top1": (1,)}},
    )
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--model", "a"])
    assert not folder.repeats
    assert folder.write_results("classes", content)
    assert folder.repeats
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--model", "a", "--workers", "2"])
    assert not folder.repeats
    assert not folder.write_results("classes", content)
    assert read_results(tmp_path)["command"][1:] == ["evaluate.py", "--model", "a"]
    assert folder.write_results("classes", content | {"results": None})
    assert folder.repeats
    (tmp_path / "results.json").write_text("{")
    assert not folder.repeats
    assert folder.write_results("classes", content)


def test_a_finished_run_says_how_to_do_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is there, also elsewhere."""
    folder, other = OutputFolder(tmp_path / "out"), tmp_path / "top5.txt"
    folder.begin(IDENTITY, overwrite=False)
    other.touch()
    folder.tell({"images": "7"}, new=True, beside={other: "lines"})
    release()
    check_written(said := capsys.readouterr().out, tmp_path)
    assert said.startswith("images  7\nwrote ")
    folder.tell({}, new=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"already done: {folder.path} is finished; --overwrite does it again, another --output beside it"
    assert second.startswith(f"kept {folder.identity}  ")


@pytest.mark.parametrize("training", [False, True])
def test_what_is_no_run_is_never_deleted(training: bool, tmp_path: Path) -> None:
    """A folder of runs or of photos, given as --output by mistake, with --overwrite or without."""
    run = tmp_path / "a"
    run.mkdir()
    (run / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="is not the folder of a run, which is all that --overwrite deletes"):
        OutputFolder(tmp_path).check(training)
    OutputFolder(run).check(training)
