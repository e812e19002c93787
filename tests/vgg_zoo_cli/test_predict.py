"""`vgg-zoo predict`."""

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.vgg_zoo_cli.conftest import GOOD, Run
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.weights import oxford


def expected(net: Path, **settings: Any) -> dict[str, list[tuple[str, float]]]:
    """By the evaluator alone."""
    return dict(zip(GOOD, DenseEvaluator(net, **settings).predict(GOOD, top=3), strict=True))


def test_rows_are_the_evaluators(photos: Path, net: Path, run: Run) -> None:
    """Tab-separated, by the net's own settings; what cannot be read is named and makes the exit code 1."""
    done = run("predict", photos, "--model", net, "--top", 3)
    assert done.rows[0] == ["photo", "posterior", "class"]
    assert done.rows[1:] == [
        [photo, f"{value:.3f}", name] for photo, found in expected(net).items() for name, value in found
    ]
    assert done.code == 1
    title, about, *rest = done.err.splitlines()
    assert title == f"vgg-zoo predict · {net}"
    assert about == "vgg_d on cpu, dense, Q = 64 96"
    assert "unreadable: photos/damaged.jpg: no image format that Pillow knows" in rest
    assert "photos      3" in rest
    assert "unreadable  1" in rest
    assert "ignored     1 (not named like photos)" in rest


def test_the_csv_has_every_photo(photos: Path, net: Path, run: Run) -> None:
    """With the error of what cannot be read, and nothing on standard output."""
    done = run("predict", photos, "--model", net, "--top", 3, "--scales", 64, 80, "--csv", "a.csv")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == "wrote a.csv"
    with Path("a.csv").open(newline="") as file:
        rows = {row["photo"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["photos/china.jpg", "photos/damaged.jpg", *GOOD[1:]]
    assert rows["photos/damaged.jpg"]["error"] == "no image format that Pillow knows"
    assert set(rows["photos/damaged.jpg"].values()) == {"photos/damaged.jpg", "no image format that Pillow knows", ""}
    for photo, found in expected(net, scales=(64, 80)).items():
        row = rows[photo]
        assert row["error"] == ""
        assert [row[f"class_{rank}"] for rank in (1, 2, 3)] == [name for name, _ in found]
        values = [float(row[f"posterior_{rank}"]) for rank in (1, 2, 3)]
        assert values == pytest.approx([value for _, value in found], abs=1e-6)


def test_an_output_that_exists_is_kept(photos: Path, net: Path, run: Run) -> None:
    """But with --overwrite; nothing is computed."""
    Path("a.csv").write_text("mine")
    done = run("predict", GOOD[0], "--model", net, "--csv", "a.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: a.csv exists already; name another file, or replace it with --overwrite")
    assert Path("a.csv").read_text() == "mine"
    assert run("predict", GOOD[0], "--model", net, "--csv", "a.csv", "--overwrite").code == 0
    assert Path("a.csv").read_text().startswith("photo,error,class_1")


def test_an_error_on_the_way_leaves_no_csv(photos: Path, net: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half of one."""

    def fail(self: object, images: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(DenseEvaluator, "of_rescaled", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run("predict", GOOD[0], "--model", net, "--csv", "a.csv")
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


def test_photos_go_through_in_turn(photos: Path, net: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a part are written before the next part is decoded: memory does not grow with their number."""
    monkeypatch.setattr("vgg_zoo.dense._BYTES_A_PIXEL", 0)  # every photo is a part of its own
    counts = []
    of_rescaled = DenseEvaluator.of_rescaled

    def counted(self: DenseEvaluator, images: Any) -> Any:
        counts.append(len(images))
        return of_rescaled(self, images)

    monkeypatch.setattr(DenseEvaluator, "of_rescaled", counted)
    done = run("predict", *GOOD * 3, "--model", net, "--top", 1)
    assert counts == [1] * 9
    assert [row[0] for row in done.rows[1:]] == GOOD * 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["--scales", "63", "96"],
            2,
            "scales must be smallest sides of at least 64 pixels, the net's crop; got (63, 96)",
        ),
        (["--device", "cuda"], 2, "--device cuda: PyTorch sees no GPU here; give --device cpu"),
        (["--model", "vgg_d.tv_in1k"], 1, "vgg_d.tv_in1k needs model.safetensors of timm/vgg16.tv_in1k"),
        (["--model", "hf-hub:nobody/nothing"], 1, "hf-hub:nobody/nothing needs model.safetensors of nobody/nothing"),
    ],
)
def test_mistakes_that_only_the_net_tells(
    words: list[str], code: int, said: str, photos: Path, net: Path, run: Run
) -> None:
    """One line; exit code 2 for wrong usage, 1 for unavailable weights. The tests are offline."""
    given = words if "--model" in words else ["--model", str(net), *words]
    done = run("predict", GOOD[0], *given, "--csv", "a.csv")
    assert (done.code, done.out) == (code, "")
    (error,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert said in error
    assert not Path("a.csv").exists()


def test_out_of_reach_says_where_and_what_works(photos: Path, run: Run) -> None:
    """The cache's folder, and a way without a network."""
    error = run("predict", GOOD[0], "--model", "vgg_d.tv_in1k").err
    assert "not in the cache, and HF_HUB_OFFLINE is set" in error
    assert "models--timm--vgg16.tv_in1k" in error
    assert "--model FOLDER" in error
    assert "`vgg-zoo list`" in error


def test_oxfords_file_is_named_too(photos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address and its place."""
    monkeypatch.setattr(oxford, "cache_folder", lambda: tmp_path / "cache")
    done = run("predict", GOOD[0], "--model", "vgg_d.oxford_in1k")
    assert done.code == 1
    assert f"put it at {tmp_path}/cache/VGG_ILSVRC_16_layers.caffemodel" in done.err
