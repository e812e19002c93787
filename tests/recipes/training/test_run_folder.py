"""The folder of a run: damaged files of it are named, and not guessed at."""

import json
from pathlib import Path
from typing import Any

import pytest

from recipes import train
from recipes.data.images import LabelledImages
from recipes.data.splits import load_splits
from recipes.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    """Their validation images, as images of a training."""
    return load_splits("digits")[1]


def test_colours_are_computed_once(tmp_path: Path, digits: LabelledImages) -> None:
    """And read the second time, whatever the images are then."""
    folder = RunFolder(tmp_path)
    first = folder.colours(digits)
    kept = json.loads((tmp_path / "colours.json").read_text())
    assert first.mean == tuple(kept["mean"])
    (tmp_path / "colours.json").write_text(json.dumps(kept | {"mean": [1.0, 2.0, 3.0]}))
    assert folder.colours(digits).mean == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("", r"is not JSON \(it is empty\)"),
        ('{"mean": [12', r"is not JSON \(.*: truncated or damaged\)"),
        ({"mean": None}, "holds no colours"),
        ({"mean": [1, 2]}, "mean must be three numbers from 0 to 255"),
        ({"mean": ["1", "2", "3"]}, "mean must be three numbers"),
        ({"eigenvalues": [float("nan")] * 3}, "eigenvalues must be three finite numbers"),
        ({"eigenvectors": [[1, 0, 0]]}, "eigenvectors must be three rows"),
        ("{}", "lacks eigenvalues, eigenvectors, mean"),
    ],
)
def test_damaged_colours_are_refused(tmp_path: Path, digits: LabelledImages, changes: Any, message: str) -> None:
    """With the way out: they can be computed again, and are the same then."""
    folder, file = RunFolder(tmp_path), tmp_path / "colours.json"
    whole = folder.colours(digits)
    text = changes if isinstance(changes, str) else json.dumps(json.loads(file.read_text()) | changes)
    file.write_text(text)
    with pytest.raises(ValueError, match=f"colours.json {'' if text == changes else 'holds no colours .*'}"):
        folder.colours(digits)
    with pytest.raises(ValueError, match=f"{message}.*; delete it, and the same command computes it again$"):
        folder.colours(digits)
    file.unlink()
    assert folder.colours(digits) == whole


@pytest.mark.slow
def test_the_command_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the three that a run reads back; --overwrite is a way out of a results.json that is cut."""
    recipe = str(Path(__file__).parents[1] / "tiny.py")
    words = ["--recipe", recipe, "--data", "digits", "--output", str(tmp_path), "--max-steps", "1"]
    assert train.main(words) == 0
    for name in ("colours.json", "run.json", "results.json"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text[:14])
        capsys.readouterr()
        assert train.main(words) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f"error: {tmp_path / name} is not JSON (")
        (tmp_path / name).write_text(text)
    (tmp_path / "results.json").write_text('{"kind": "tr')
    assert train.main([*words, "--overwrite"]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["steps"] == 1
