"""How every command looks."""

from pathlib import Path

import datasets
import pytest

from recipes.runtime import look
from recipes.runtime.look import already_done, ending, in_bytes, progress, show_bars_of_datasets, title
from tests.recipes.commands import check_written


def test_the_ending_lists_what_is_there(tmp_path: Path) -> None:
    """Figures in columns; of a folder the number and size of its files, of what is not there nothing."""
    scores, results = tmp_path / "scores", tmp_path / "results.json"
    scores.mkdir()
    for place in range(2):
        (scores / str(place)).write_bytes(b"0" * 600)
    results.write_bytes(b"0" * 12)
    written = {scores: "posteriors", results: "", tmp_path / "bad_images.csv": "none"}
    lines = ending({"top-1 error": "1%", "images": "1,200"}, written).splitlines()
    assert lines == [
        "top-1 error  1%",
        "images       1,200",
        f"wrote {scores}/        1.2 kB  2 files: posteriors",
        f"wrote {results}     12 B",
    ]
    assert ending({}, {results: ""}, "kept") == f"kept {results}     12 B"
    check_written("\n".join(lines), tmp_path)
    (tmp_path / "more").touch()
    with pytest.raises(AssertionError):
        check_written("\n".join(lines), tmp_path)


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (553_432_081, "553 MB")],
)
def test_sizes_are_said_as_people_say_them(size: int, said: str) -> None:
    """Three figures and a unit."""
    assert in_bytes(size) == said


def test_what_is_said_first_and_of_a_finished_run() -> None:
    """The command and what it works on; the folder, and how to do it again."""
    assert title("evaluate", "runs/a", "360 images of digits") == "evaluate · runs/a · 360 images of digits"
    expected = "already done: runs/a is finished; --overwrite does it again, another --output beside it"
    assert already_done(Path("runs/a")) == expected


def test_one_process_has_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """With the count, and the time that is left."""
    for shown in (False, True):
        with progress(4, shown, initial=1) as bar:
            bar.update(3)
        assert ("4/4 [00:00<00:00" in capsys.readouterr().err) == shown


def test_the_user_decides_of_the_bars_of_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their variable; else they are as a command wants them."""
    before = datasets.are_progress_bars_disabled()
    for shown in (True, False):
        show_bars_of_datasets(shown)
        assert datasets.are_progress_bars_disabled() != shown
    monkeypatch.setattr(look.datasets.config, "HF_DATASETS_DISABLE_PROGRESS_BARS", False)
    show_bars_of_datasets(True)
    assert datasets.are_progress_bars_disabled()
    monkeypatch.undo()
    show_bars_of_datasets(not before)
