"""`vgg-zoo explain` and `vgg-zoo localise`: a picture of each photo."""

import sys
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from timm.models import save_for_hf

from tests.vgg_zoo_cli.conftest import GOOD, Run
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.extras import install
from vgg_zoo.localisation import Localiser


def test_one_photo_is_explained_here(photos: Path, net: Path, run: Run) -> None:
    """Beside the current folder's files; the classes are the evaluator's."""
    done = run("explain", GOOD[0], "--model", net, "--scales", 64, "--top", 2)
    assert done.code == 0
    assert done.err.splitlines()[-1] == "wrote china.explained.png"
    found = DenseEvaluator(net, 64).predict([GOOD[0]], top=2)[0]
    assert done.rows[1:] == [[GOOD[0], f"{value:.3f}", name] for name, value in found]
    with Image.open("china.explained.png") as picture:
        assert picture.width > 600


def test_many_photos_are_localised_into_a_folder(photos: Path, net: Path, box: Path, run: Run) -> None:
    """With its sub-folders; what cannot be read is named. The boxes are the localiser's."""
    done = run("localise", photos, "--model", box, "--classifier", net, "--top", 2, "--output", "found")
    assert done.code == 1
    assert "unreadable: photos/damaged.jpg: no image format that Pillow knows" in done.err
    written = ["china.localised.png", "flower.localised.png", "more/small.localised.png"]
    assert sorted(str(path.relative_to("found")) for path in Path("found").rglob("*.png")) == written
    assert done.err.splitlines()[-3:] == [f"wrote found/{name}" for name in written]
    localiser = Localiser(str(box), str(net), top=2)
    expected = [
        [photo, f"{each.score:.3f}", *(f"{side:.0f}" for side in each.box), each.name]
        for photo in GOOD
        for each in localiser(photo)
    ]
    assert done.rows[1:] == expected
    drawn = np.asarray(Image.open("found/china.localised.png"))
    np.testing.assert_array_equal(drawn, np.asarray(localiser.draw(GOOD[0])))


def test_a_picture_that_exists_is_kept(photos: Path, net: Path, run: Run) -> None:
    """One rule, whether it was named or not; nothing is computed."""
    for words, there in (
        ([], "china.explained.png"),
        (["--output", "a.png"], "a.png"),
        (["--output", "d"], "d/china.explained.png"),
    ):
        path = Path(there)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        done = run("explain", GOOD[0], "--model", net, *words)
        assert done.code == 2
        assert f"{there} exists already" in done.err
        assert "--overwrite" in done.err
        assert path.read_bytes() == b"mine"
    assert run("explain", GOOD[0], "--model", net, "--output", "a.png", "--overwrite", "--scales", 64).code == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photos", "--output", "a.png"], "--output a.png is one file for 4 photos; name a folder"),
        (["photos", "--output", "photos/notes.txt"], "is a file; name a folder"),
        (["photos/flower.png", "photos/more/../flower.png"], "would both become flower.explained.png"),
        (["photos/china.jpg", "--output", "folder.png"], "folder.png is a folder"),
        (["photos/flower.png", "--output", "./photos/flower.png", "--overwrite"], "photos/flower.png is the photo"),
    ],
)
def test_where_nothing_can_be_written(words: list[str], said: str, photos: Path, run: Run, net: Path) -> None:
    """Nothing is."""
    Path("folder.png").mkdir()
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    done = run("explain", *words, "--model", net)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


def test_a_folder_of_another_net_is_refused(photos: Path, net: Path, run: Run) -> None:
    """No VGG; no weights; no boxes."""
    save_for_hf(timm.create_model("resnet18", num_classes=2), "resnet")
    done = run("explain", GOOD[0], "--model", "resnet")
    assert done.code == 2
    assert "error: a ResNet cannot be applied densely: it takes a net of the zoo" in done.err
    for weights in Path("resnet").glob("*.*"):
        if weights.name != "config.json":
            weights.unlink()
    done = run("explain", GOOD[0], "--model", "resnet")
    assert done.code == 2
    assert "error: resnet has no weights, only config.json; model.safetensors is missing" in done.err
    done = run("localise", GOOD[0], "--model", net, "--classifier", net)
    assert done.code == 2
    assert "a VGG predicts no boxes" in done.err


def test_missing_matplotlib_is_named(photos: Path, net: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it, before the net is run."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("explain", GOOD[0], "--model", net)
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"error: drawing needs matplotlib: {install('plots')}"
    assert not Path("china.explained.png").exists()
