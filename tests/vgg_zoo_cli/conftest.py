"""Small nets in folders, photos, and the command line in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.helpers import SMALL, small
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.weights.folder import save_folder
from vgg_zoo_cli.main import main


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Of standard output, tab-separated."""
        return [line.split("\t") for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`vgg-zoo` with these words."""

    def of(*words: Any) -> Done:
        code = main([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return of


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a net D that takes 64 pixels, with its scales."""
    folder = tmp_path_factory.mktemp("nets") / "net"
    torch.manual_seed(0)
    DenseEvaluator(small("vgg_d"), (64, 96)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a net that predicts boxes of the same classes."""
    folder = tmp_path_factory.mktemp("nets") / "box"
    torch.manual_seed(0)
    model = timm.create_model("vgg_a_box", **SMALL)
    with torch.no_grad():
        model.head.fc.bias.copy_(torch.tensor([0.0, 0.0, 0.8, 0.8]).repeat(model.boxes))
    save_folder(model, folder, tag="t", licence=None, mean=(99, 99, 99), input_size=(3, 64, 64), crop_pct=64 / 72)
    return folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`photos/`, in a current folder of its own: two photos, one more below, one that is none, and a text."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    Image.fromarray(load_sample_image("china.jpg")[:160, :200]).save(folder / "china.jpg")
    Image.fromarray(load_sample_image("flower.jpg")[:200, :150]).save(folder / "flower.png")
    Image.fromarray(load_sample_image("flower.jpg")[:100, :120]).save(folder / "more" / "small.png")
    (folder / "damaged.jpg").write_text("no image")
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.png").write_text("hidden")
    return folder


GOOD = ["photos/china.jpg", "photos/flower.png", "photos/more/small.png"]
"""In the order in which they are read."""
