"""What `make demo` and `make tour` say where something is missing, and what they take for wrong; CI runs them whole."""

from pathlib import Path
from typing import Any

import pytest

from recipes.demo import demo, tour
from recipes.demo.steps import demo as steps
from recipes.demo.steps import tour as stations
from tests.recipes.commands import check_written, refusal


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    """Before anything is trained."""
    (tmp_path / "file").touch()
    expected = f"error: cannot write to {tmp_path}/file/demo (Not a directory); --output names another folder"
    assert refusal(demo.main, "--output", tmp_path / "file" / "demo") == expected


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the free space and the space that is needed."""
    monkeypatch.setattr(steps, "MEGABYTES", 10**9)
    assert "MB are free" in (line := refusal(demo.main, "--output", tmp_path))
    assert line.endswith("1000000000 MB are needed; --output names another folder")


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to install it."""
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    expected = "error: sklearn and matplotlib cannot be imported; install them: pip install -e '.[train]'"
    assert refusal(demo.main, "--output", "unused") == expected


def test_a_missing_compiler_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note: nets then run as PyTorch runs them."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    steps.check_machine(tmp_path)
    assert capsys.readouterr().out.startswith("note: no C++ compiler is here")


@pytest.mark.parametrize(
    ("errors", "images", "message"),
    [
        ({"dense": 0.9}, {360}, "90.0% of the digits are wrong by the dense test; at most 30% can be"),
        ({"dense": 0.0}, {360, 359}, r"\[359, 360\] digits were counted, not 360"),
    ],
)
def test_what_no_correct_build_gives_is_an_error(errors: dict[str, float], images: set[int], message: str) -> None:
    """Guesses, and digits that are lost."""
    with pytest.raises(ValueError, match=message):
        steps.check_errors(errors, images)
    steps.check_errors({"dense": 0.1}, {360})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Of those that the summary names."""
    for name in ("net/model.safetensors", "net/learning_curve.png", "test/results.json", "digit.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"nothing wrote {tmp_path}/explained\.png"):
        steps.check_files(tmp_path)
    (tmp_path / "explained.png").touch()
    steps.check_files(tmp_path)


def test_the_tour_stands_on_the_demo(tmp_path: Path) -> None:
    """It says which net is missing and what makes it."""
    line = refusal(tour.main, "--model", tmp_path / "net", "--output", tmp_path / "tour")
    assert line.startswith(f"error: {tmp_path}/net has no net; make demo trains it, and --model names another net")
    assert list(tmp_path.iterdir()) == []


def test_a_test_of_the_tour_is_of_all_images() -> None:
    """It fails only far from the typical errors."""
    checked: dict[str, Any] = {"expected": 400, "of": "the boxes"}
    stations.at_most(0.5, 0.1, 400, **checked)
    with pytest.raises(ValueError, match="399 images of the boxes were counted, not 400"):
        stations.at_most(0.5, 0.1, 399, **checked)
    with pytest.raises(ValueError, match=r"60\.0% of the boxes are wrong; at most 50% can be"):
        stations.at_most(0.5, 0.6, 400, **checked)


def test_the_demo_lists_what_it_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, whatever the steps themselves say."""
    found = {"top1": 0.02, "images": steps.TESTED}
    data = {"mean": [0, 0, 0], "training_images": 1437}
    example = {"index": 0, "scale": 80, "crop_size": 64, "logits": []}
    trained = {"results": {"single crop": found}, "data": data, "example": example, "processes": 2, "steps": 9}

    def leave(folder: Path, *names: str) -> Path:
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).touch()
        return folder / names[0]

    def train(output: Path) -> dict[str, Any]:
        leave(output, "model.safetensors", "learning_curve.png")
        return trained

    def test(net: Path, output: Path) -> dict[str, Any]:
        leave(output, "results.json")
        return {"results": found, "nets": [{"scales": [80]}]}

    monkeypatch.setattr(steps, "train", train)
    monkeypatch.setattr(steps, "test", test)
    monkeypatch.setattr(steps, "load", lambda *_: (None, "7", 0.0))
    monkeypatch.setattr(steps, "explain", lambda *given: leave(given[-1], "digit.png", "explained.png"))
    assert demo.main(["--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    check_written(said, tmp_path)
    assert "errors   single crop 2.0%, dense 2.0% of 360 held-out digits" in said


def test_the_tour_lists_what_it_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thing with what it is."""
    net = tmp_path / "net"
    net.mkdir()
    (net / "results.json").touch()

    def visit(self: stations.Tour) -> None:
        for name in stations.MADE:
            if "." in name:
                (self.output / name).touch()
            else:
                (self.output / name).mkdir(exist_ok=True)
                (self.output / name / "file").touch()

    for name in ("crops_and_fusion", "repository", "linear_svm", "localisation", "photos"):
        monkeypatch.setattr(stations.Tour, name, visit)
    assert tour.main(["--model", str(net), "--output", str(tmp_path / "tour")]) == 0
    said = capsys.readouterr().out
    check_written(said, tmp_path / "tour")
    assert all(what in said for what in stations.MADE.values())
