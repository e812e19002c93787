"""VOC's folder as images of objects: a sample for each class in an image, with all its boxes."""

from pathlib import Path

import pytest

from recipes.data.box_splits import load_box_splits, load_box_test_split
from recipes.data.images import UNLABELLED
from recipes.data.options import DataSource
from recipes.data.splits import load_splits
from tests.recipes.box_sets import HEIGHT, WIDTH, objects, voc_objects, write

DOG, CAT = ("dog", (3, 4, 3, 4)), ("cat", (1, 1, WIDTH, HEIGHT))
TRAINING = {"a": objects(DOG, CAT, ("dog", (1, 1, 9, 9))), "b": objects(CAT)}


@pytest.mark.parametrize("inside", ["", "VOC2012", "VOC2007", "VOCdevkit/VOC2012"])
def test_a_sample_is_a_class_in_an_image(tmp_path: Path, inside: str) -> None:
    """With all boxes of the class; VOC's coordinates begin at 1 and include the last pixel."""
    voc_objects(tmp_path / inside, {"train": TRAINING, "val": {"c": objects(DOG)}})
    training, validation, left_out = load_box_splits(str(tmp_path))
    assert left_out == []
    assert training.class_names == ("cat", "dog")
    found = training.read_boxed(range(3))
    assert [boxed.label for boxed in found] == [1, 0, 0]
    assert [boxed.boxes.tolist() for boxed in found] == [
        [[2, 3, 3, 4], [0, 0, 9, 9]],
        [[0, 0, WIDTH, HEIGHT]],
        [[0, 0, WIDTH, HEIGHT]],
    ]
    assert [Path(name).name for name in training.names(range(3))] == ["a.jpg", "a.jpg", "b.jpg"]
    assert (len(validation), len(load_splits(str(tmp_path))[0])) == (1, 3)


def test_the_lists_are_splits(tmp_path: Path) -> None:
    """VOC-2007's nets are trained on trainval and tested on test."""
    voc_objects(tmp_path, {"train": TRAINING, "trainval": TRAINING, "test": {"d": objects(DOG, CAT)}})
    source = DataSource(spec=str(tmp_path), training_split="trainval", validation_split="test")
    training, test, _ = load_box_splits(source)
    assert (len(training), len(test)) == (3, 2)
    assert len(load_box_test_split(source)) == 2


def test_an_image_without_objects_stays_in_the_test(tmp_path: Path) -> None:
    """As a sample of no class; in training it is left out, and named."""
    bad = {"e": objects(), "f": "", "g": objects(("", (1, 1, 5, 5))), "h": objects(CAT, ("dog", (9, 1, 2, 5)))}
    voc_objects(tmp_path, {"train": TRAINING | bad, "val": {"c": objects(DOG)} | bad})
    (tmp_path / "Annotations" / "f.xml").unlink()
    training, validation, left_out = load_box_splits(str(tmp_path))
    assert (len(training), len(left_out), len(validation)) == (4, 4, 6)
    assert [(problem.index, problem.reason) for problem in left_out] == [
        (3, "annotation without objects of the class (e.xml)"),
        (4, "annotation is missing (f.xml)"),
        (5, "object without name (object 1 of g.xml)"),
        (7, "reversed box (left 9 > right 2), object 2 of h.xml"),
    ]
    assert [validation.label(index) for index in range(6)] == [1, *[UNLABELLED] * 3, 0, 1]
    assert [len(boxed.boxes) for boxed in validation.read_boxed(range(6))] == [1, 0, 0, 0, 1, 0]
    with pytest.raises(ValueError, match="3 of 8 training labels are none of the 2 classes"):
        load_splits(str(tmp_path))


def test_without_a_validation_list_a_fifth_is_held_out(tmp_path: Path) -> None:
    """Of the images with a class; the same as for classification."""
    images = {f"{number:03}": objects(DOG if number % 2 else CAT) for number in range(20)}
    voc_objects(tmp_path, {"train": images})
    same = load_splits(str(tmp_path))
    training, held_out, _ = load_box_splits(str(tmp_path))
    assert [len(training), len(held_out)] == [len(split) for split in same] == [16, 4]
    assert held_out.names(range(4)) == same[1].names(range(4))
    write(tmp_path / "Annotations" / "000.xml", "")
    training, held_out, left_out = load_box_splits(str(tmp_path))
    assert (len(training) + len(held_out), len(left_out)) == (19, 1)
    assert len(load_box_test_split(str(tmp_path))) == len(held_out)


def test_folders_that_are_not_whole_say_what_is_missing(tmp_path: Path) -> None:
    """No list, no annotation, or two years at once."""
    voc_objects(tmp_path / "one" / "VOC2007", {"train": TRAINING})
    voc_objects(tmp_path / "one" / "VOC2012", {"train": TRAINING})
    with pytest.raises(ValueError, match=r"one holds .*VOC2012 and .*VOC2007; give one of them"):
        load_splits(str(tmp_path / "one"))
    (tmp_path / "one" / "VOC2007" / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(ValueError, match=r"no list of images; expected one of train, val, trainval, test \(.txt\) in"):
        load_splits(str(tmp_path / "one" / "VOC2007"))
    voc_objects(tmp_path / "two", {"train": {"a": objects()}})
    with pytest.raises(ValueError, match="has no object of any of the 1 listed images"):
        load_splits(str(tmp_path / "two"))
