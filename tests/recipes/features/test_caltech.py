"""Caltech's folders, and splits of the paper's sizes."""

from pathlib import Path

import numpy as np
import pytest

from recipes.features.caltech import CALTECH_101, CALTECH_256, SPLITS, Caltech
from tests.recipes.data_sets import caltech


def many(root: Path, data_set: Caltech, counts: list[int]) -> Path:
    """All classes of a data set, with so many files of no content."""
    names = [data_set.background, *(f"{number:03}.class" for number in range(1, data_set.classes))]
    for name, count in zip(names, counts, strict=True):
        (root / data_set.folder / name).mkdir(parents=True)
        for number in range(count):
            (root / data_set.folder / name / f"image_{number:04}.jpg").touch()
    return root


def test_caltech_101_is_split_as_in_the_paper(tmp_path: Path) -> None:
    """102 classes, 3 splits, 30 training and up to 50 test images of each class, all of them different."""
    counts = [31 + 10 * (number % 8) for number in range(102)]
    samples = CALTECH_101.samples(many(tmp_path, CALTECH_101, counts))
    assert (len(samples.class_names), len(samples), len(samples.splits)) == (102, sum(counts), SPLITS)
    assert SPLITS == 3
    sizes = (samples.labels > 0).sum(0)
    for split in samples.splits:
        assert (samples.labels[split.training] > 0).sum(0).tolist() == [30] * 102
        assert (samples.labels[split.test] > 0).sum(0).tolist() == np.minimum(sizes - 30, 50).tolist()
        assert not set(split.training) & set(split.test)
    one, two = (samples.splits[number].training.tolist() for number in (0, 1))
    assert one != two
    again, other = (CALTECH_101.samples(tmp_path, seed).splits[0].training.tolist() for seed in (0, 1))
    assert again == one != other


def test_caltech_256_is_split_as_in_the_paper(tmp_path: Path) -> None:
    """257 classes, 3 splits, 60 training images of each class, and the rest for the test."""
    counts = [80 + number % 5 for number in range(257)]
    samples = CALTECH_256.samples(many(tmp_path, CALTECH_256, counts))
    assert (len(samples.class_names), len(samples.splits)) == (257, 3)
    for split in samples.splits:
        assert (samples.labels[split.training] > 0).sum(0).tolist() == [60] * 257
        assert len(split.training) + len(split.test) == sum(counts)


@pytest.mark.parametrize("inner", ["", "caltech-101", "caltech-101/101_ObjectCategories"])
def test_the_folder_is_found(tmp_path: Path, inner: str) -> None:
    """By its own path, that of the folder it is in, or the one which the archive was unpacked in."""
    caltech(tmp_path / "caltech-101" / "101_ObjectCategories", {"BACKGROUND_Google": 31, "ant": 32})
    samples = CALTECH_101.samples(tmp_path / inner)
    assert samples.class_names == ("BACKGROUND_Google", "ant")
    assert samples.names[31] == "ant/image_0001.jpg"  # neither RENAME2 nor what a Mac leaves
    assert len(samples) == 63
    assert samples.read(31).shape == (40, 40, 3)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """The folder and its source; a class of too few images."""
    with pytest.raises(ValueError, match=r"holds no Caltech-101: expected .*101_ObjectCategories.*102 .*caltech\.edu"):
        CALTECH_101.samples(tmp_path)
    caltech(tmp_path / "256_ObjectCategories", {"001.ak47": 61, "257.clutter": 60})
    with pytest.raises(ValueError, match=r"257\.clutter has 60 images; Caltech-256 needs more than 60"):
        CALTECH_256.samples(tmp_path)
