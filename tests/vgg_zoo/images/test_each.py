"""Many images: progress, damaged ones, addresses, and batches."""

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tqdm.auto
from PIL import Image
from torch.utils.data import DataLoader

import vgg_zoo
from tests.helpers import small
from vgg_zoo.images.decoding import BadImageError
from vgg_zoo.images.inputs import count_of, decoded

PHOTO = np.random.default_rng(0).integers(0, 256, (70, 100, 3), dtype=np.uint8)
BOX_NET = small("vgg_a_box")
NET = small("vgg_a")

MANY: dict[str, Any] = {
    "DenseEvaluator": lambda images, **options: vgg_zoo.DenseEvaluator(NET, 64)(images, **options),
    "DenseEvaluator.predict": lambda images, **options: vgg_zoo.DenseEvaluator(NET, 64).predict(images, **options),
    "Fusion": lambda images, **options: vgg_zoo.Fusion([NET, NET], (64, 80))(images, **options),
    "Localiser": lambda images, **options: vgg_zoo.Localiser(BOX_NET, NET, 64)(images, **options),
    "ImageDescriptor": lambda images, **options: vgg_zoo.ImageDescriptor(NET, scales=64, **options).transform(images),
}
"""Everything that takes many images."""


def missing(row: Any) -> bool:
    """Whether a result is that of an image that could not be decoded."""
    return row == [] if isinstance(row, list) else bool(np.isnan(np.asarray(row)).all())


@pytest.mark.parametrize("use", MANY)
def test_one_word_for_damaged_images(use: str, tmp_path: Path) -> None:
    """An error, or nothing in its place and one warning that counts and names."""
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    images = [PHOTO, tmp_path / "bad.jpg", PHOTO]
    with pytest.raises(BadImageError, match=r"image 1 \(.*bad.jpg\): no image format"):
        MANY[use](images)
    with pytest.warns(UserWarning, match=r"1 of 3 images are rows of NaN: image 1 \(.*bad.jpg\): no image format"):
        found = MANY[use](images, on_error="nan")
    assert [missing(row) for row in found] == [False, True, False]
    with pytest.raises(ValueError, match="unknown on_error 'skip'; choose from raise, nan"):
        MANY[use](images, on_error="skip")


def test_a_warning_does_not_grow_without_bound() -> None:
    """Of 30 damaged images 20 are named."""
    with pytest.warns(UserWarning, match="30 of 30 .*: image 0: .*; image 19: .*; and 10 more$") as said:
        vgg_zoo.DenseEvaluator(NET, 64)([b"text"] * 30, on_error="nan")
    assert "image 20" not in str(said[0].message)


@pytest.mark.parametrize("use", MANY)
def test_progress_tells_count_and_rate(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that is left where the count is known; nothing unless it is asked for."""
    shown = io.StringIO()
    monkeypatch.setattr(tqdm.auto, "tqdm", partial(tqdm.tqdm, disable=False, file=shown, mininterval=0))
    MANY[use]([PHOTO] * 3)
    assert shown.getvalue() == ""
    MANY[use]([PHOTO] * 3, show_progress=True)
    assert re.search(r"100%.* 3/3 \[\d\d:\d\d<\d\d:\d\d, .*(image/s|s/image)\]", shown.getvalue())
    MANY[use]((PHOTO for _ in range(4)), show_progress=True)
    assert re.search(r"4image \[\d\d:\d\d, .*(image/s|s/image)\]", shown.getvalue())


def test_progress_counts_images_not_their_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each box is described as an image of its own."""
    shown = io.StringIO()
    monkeypatch.setattr(tqdm.auto, "tqdm", partial(tqdm.tqdm, disable=False, file=shown, mininterval=0))
    MANY["ImageDescriptor"]([(PHOTO, (0, 0, 64, 64))] * 3, show_progress=True)
    assert re.search(r"100%.* 3\.0/3\.0 \[", shown.getvalue())


def test_the_count_is_that_of_images() -> None:
    """A loader's is that of its data set; a generator has none."""
    assert count_of([1, 2]) == 2
    assert count_of(DataLoader([torch.zeros(1)] * 5, batch_size=2)) == 5  # type: ignore[arg-type]
    assert count_of(iter([1, 2])) is None


@pytest.mark.parametrize("use", ["DenseEvaluator", "Fusion", "Localiser"])
def test_a_generator_is_drawn_as_the_net_works(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts go through all nets before the images behind them are drawn."""
    monkeypatch.setattr(vgg_zoo.dense, "_BYTES_A_PIXEL", 0)  # a part for each image
    drawn = 0
    most = 0
    run = vgg_zoo.DenseEvaluator.of_rescaled
    tested: list[int] = []

    def images() -> Iterator[Any]:
        nonlocal drawn
        for _ in range(80):
            drawn += 1
            yield PHOTO

    def counted(self: Any, part: Any) -> Any:
        nonlocal most
        tested.append(len(part))
        most = max(most, drawn - len(tested) // (2 if use == "Fusion" else 1))
        return run(self, part)

    monkeypatch.setattr(vgg_zoo.DenseEvaluator, "of_rescaled", counted)
    assert len(MANY[use](images())) == 80
    assert most <= 1 + vgg_zoo.images.inputs._AHEAD + 1


def test_batches_of_a_loader_are_images(tmp_path: Path) -> None:
    """With their labels or without, the last one smaller; floats are refused with the way out."""
    pixels = torch.from_numpy(PHOTO).permute(2, 0, 1).contiguous()
    expected = MANY["DenseEvaluator"]([PHOTO] * 5)
    for rows in ([pixels] * 5, [(pixels, 7)] * 5):
        torch.testing.assert_close(MANY["DenseEvaluator"](DataLoader(rows, batch_size=2)), expected)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"before any normalisation; got a tensor of \(3, 70, 100\) torch.float32"):
        MANY["DenseEvaluator"](DataLoader([pixels / 255] * 5, batch_size=2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(70, 70, 3, dtype=torch.uint8), r"for \(H, W, C\) give image.permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 70, 70, dtype=torch.uint8), r"of a batch give image\[0\]"),
        ({"image": PHOTO, "label": 3}, r"of a table of `datasets` give its column of images, table\[name\]"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_out(image: Any, message: str) -> None:
    """By the one function that decodes."""
    with pytest.raises(ValueError, match=message):
        decoded(image)


def test_addresses_are_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are downloaded where they are decoded; a failed download counts as damage of this image."""
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        if url.endswith("gone.png"):
            raise BadImageError("the server says 404 Not Found")
        return (tmp_path / "a.png").read_bytes()

    monkeypatch.setattr(vgg_zoo.images.inputs, "fetched", fetch)
    images = [
        "https://a.org/a.png",
        "http://a.org/gone.png",
        str(tmp_path / "a.png"),
        {"bytes": None, "path": "https://b/c"},
    ]
    with pytest.warns(UserWarning, match=r"1 of 4 .*: image 1 \(http://a.org/gone.png\): .*the server says 404"):
        found = vgg_zoo.DenseEvaluator(NET, 64)(images, on_error="nan")
    assert sorted(asked) == ["http://a.org/gone.png", "https://a.org/a.png", "https://b/c"]
    assert [missing(row) for row in found] == [False, True, False, False]
    assert torch.equal(found[0], found[2])


def test_wrong_numbers_are_refused() -> None:
    """Of classes, and of scales beside evaluators that have their own."""
    evaluator = vgg_zoo.DenseEvaluator(NET, 64)
    with pytest.raises(ValueError, match="top must be at least 1, the likeliest class; got 0"):
        evaluator.predict(PHOTO, 0)
    with pytest.raises(ValueError, match=r"the evaluators have their own scales, \(64,\); give nets instead"):
        vgg_zoo.Fusion([evaluator], 96)
    assert vgg_zoo.Fusion(NET, 64).predict(PHOTO, 2) == evaluator.predict([PHOTO], 2)[0]
    with pytest.raises(ValueError, match="a net is a module, a folder or a name with weights"):
        vgg_zoo.Fusion(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a net is a module, a folder or a name with weights"):
        vgg_zoo.Localiser(3, NET)  # type: ignore[arg-type]
