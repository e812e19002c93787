"""VOC's folders, lists and boxes: what is read, and what is said where something is missing or wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from recipes.data.annotations import object_box
from recipes.data.boxes import BadBoxError, clip_to_image
from recipes.features.voc import ACTIONS, CLASSES, find_voc
from tests.recipes.data_sets import SIDE, actions, annotation, voc, write_lines
from vgg_zoo.images.decoding import BadImageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOCdevkit with VOC2007 and, without labels of the test, VOC2012."""
    devkit = tmp_path_factory.mktemp("data") / "VOCdevkit"
    voc(devkit / "VOC2007", 20, 20, 20)
    voc(devkit / "VOC2012", 20, 20, 20, labelled_test=False)
    actions(devkit / "VOC2012", 12)
    return devkit


@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_the_folder_of_a_year_is_found(folder: Path, inner: str) -> None:
    """By its own path, the kit's, or that of the folder which the kit was unpacked in."""
    assert find_voc(folder.parent / inner, 2007).root == folder / "VOC2007"


def test_labels_are_those_of_the_files(folder: Path) -> None:
    """1, -1 and 0, in the order of the lists; trained on trainval for the test, on train for val."""
    samples = find_voc(folder, 2007).classification("test")
    assert samples.class_names == CLASSES
    assert len(CLASSES) == 20
    assert samples.names[:2] == ["000000", "000001"]
    assert samples.labels[1, [1, 10, 12, 0]].tolist() == [1, 1, 0, -1]  # 1 and 1 · 7 + 3 are shown, 12 is difficult
    (split,) = samples.splits
    assert (split.training.tolist(), split.test.tolist()) == (list(range(40)), list(range(40, 60)))
    assert samples.read(1).shape == (SIDE, 2 * SIDE, 3)
    (split,) = find_voc(folder, 2007).classification("val").splits
    assert (len(split.training), len(split.test)) == (20, 20)


def test_a_test_without_labels_has_images_all_the_same(folder: Path) -> None:
    """As VOC-2012's, which is on the evaluation server."""
    samples = find_voc(folder, 2012).classification("test")
    assert not samples.tests_are_labelled
    assert not samples.labels[samples.splits[0].test].any()
    assert find_voc(folder, 2012).classification("val").tests_are_labelled


def test_persons_have_boxes_and_actions(folder: Path) -> None:
    """A sample for each person; persons of one image know that they are."""
    samples = find_voc(folder, 2012).actions("test", boxes=True)
    assert samples.class_names == ACTIONS
    assert samples.names[:3] == ["2012_000000 1", "2012_000000 2", "2012_000001 1"]
    assert samples.images[0] == samples.images[1] != samples.images[2]
    assert samples.labels[0].argmax() == 0
    assert samples.labels[20].tolist() == [-1] * 10  # the eleventh action is the negative of all
    assert samples.box is not None
    assert [samples.box(number) for number in (0, 1)] == [(0, 0, SIDE, SIDE), (SIDE, 0, 2 * SIDE, SIDE)]
    assert find_voc(folder, 2012).actions("test", boxes=False).box is None


def test_persons_of_a_test_without_labels(tmp_path: Path) -> None:
    """As the kit has them, in the classes' files, which then have two words a line."""
    samples = find_voc(actions(tmp_path / "VOC2012", 12, labelled_test=False), 2012).actions("test", boxes=True)
    assert samples.names[-1] == "2012_000011 2"
    assert not samples.tests_are_labelled
    assert find_voc(tmp_path, 2012).actions("val", boxes=True).tests_are_labelled
    wrong = tmp_path / "VOC2012" / "ImageSets" / "Action" / "running_test.txt"
    write_lines(wrong, ["2012_000008 first"])
    with pytest.raises(
        ValueError, match=r"running_test\.txt, line 1: expected 'image object', got '2012_000008 first'"
    ):
        find_voc(tmp_path, 2012).actions("test", boxes=True)
    write_lines(wrong, ["2012_000008 1"])
    with pytest.raises(ValueError, match=r"has no line of '2012_000008 2', as jumping_test.txt has \(7 missing\)"):
        find_voc(tmp_path, 2012).actions("test", boxes=True)


def test_an_image_that_is_missing_is_named_when_it_is_read(folder: Path, tmp_path: Path) -> None:
    """Not before: the others can be used."""
    shutil.copytree(folder / "VOC2007", tmp_path / "VOC2007")
    (tmp_path / "VOC2007" / "JPEGImages" / "000003.jpg").unlink()
    samples = find_voc(tmp_path, 2007).classification("test")
    with pytest.raises(BadImageError, match="cannot be read"):
        samples.read(3)


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("cow_test.txt", None, r"no file .*Main/cow_test.txt.*VOCtest_06-Nov-2007.tar"),
        ("test.txt", None, r"no file .*Main/test.txt"),
        ("test.txt", [], r"test.txt is empty"),
        ("cow_test.txt", ["000040 2"], r"cow_test.txt, line 1: expected 'image 1, -1 or 0', got '000040 2'"),
        ("cow_test.txt", ["000040 1", "000040 1"], r"cow_test.txt, line 2: '000040' is listed twice"),
        ("cow_test.txt", ["000040 1"], r"cow_test.txt has no line of '000041', as test.txt has \(19 missing\)"),
        ("test.txt", ["a b"], r"test.txt, line 1: expected 'image', got 'a b'"),
        ("cow_test.txt", ["000040", "000041 1"], r"cow_test.txt, line 2: expected 'image', got '000041 1'"),
        ("cow_test.txt", [f"{n:06}" for n in range(40, 60)], r"cow_test.txt has no labels, and others of the set"),
        ("cow_trainval.txt", None, r"no file .*Main/cow_trainval.txt"),
    ],
)
def test_a_list_that_is_wrong_is_named(
    folder: Path, tmp_path: Path, file: str, lines: list[str] | None, message: str
) -> None:
    """The error has the file, the line and what was expected."""
    shutil.copytree(folder / "VOC2007", tmp_path / "VOC2007")
    wrong = tmp_path / "VOC2007" / "ImageSets" / "Main" / file
    wrong.unlink()
    if lines is not None:
        write_lines(wrong, lines)
    with pytest.raises(ValueError, match=message):
        find_voc(tmp_path, 2007).classification("test")


def test_a_wrong_folder_is_named_with_what_was_expected(folder: Path, tmp_path: Path) -> None:
    """And where it comes from."""
    with pytest.raises(ValueError, match=r"holds no VOC2007: expected ImageSets and JPEGImages.*VOCdevkit/VOC2007.*ox"):
        find_voc(tmp_path, 2007)
    with pytest.raises(ValueError, match="VOC2012 is VOC2012; --protocol voc2007 needs VOC2007"):
        find_voc(folder / "VOC2012", 2007)
    with pytest.raises(ValueError, match=r"no folder .*VOC2007/Annotations"):
        find_voc(folder, 2007).actions("test", boxes=True)
    with pytest.raises(ValueError, match="unknown test set 'train'; choose from test, val"):
        find_voc(folder, 2007).classification("train")


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation([]), "has 0 object"),
        (annotation([(1, 1, 5, 5)]), "no object 2"),
        (annotation([(0, 0, 0, 0), (9, 1, 5, 5)]), r"reversed box \(left 9 > right 5\), object 2 of a.xml"),
        (
            annotation([(0, 0, 0, 0), (1, 1, "five", 5)]),
            r"box coordinate 'five' is not a number \(xmax of object 2 of a.xml\)",
        ),
        (
            annotation([(0, 0, 0, 0), (1, 1, "inf", 5)]),
            r"box coordinate 'inf' is not a number \(xmax of object 2 of a.xml\)",
        ),
        (annotation([(0, 0, 0, 0), (1, 1, 5, "")]), r"box coordinate '' is not a number \(ymax of object 2 of a.xml\)"),
        ("<annotation><object/><object/></annotation>", r"object without bndbox \(object 2 of a.xml\)"),
        ("<annotation>", "a.xml is not XML"),
        ("", "a.xml is not XML"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "a.xml is not XML"),
        (BOMB, "a.xml has a DOCTYPE"),
        ("<annotation>" + " " * 2**22 + "</annotation>", "bytes; an annotation has"),
    ],
)
def test_a_box_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    """Missing, reversed, no number, no XML, or XML that would grow."""
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(BadBoxError, match=message):
        object_box(tmp_path / "a.xml", 2)


def test_a_doctype_in_another_encoding_is_refused_too(tmp_path: Path) -> None:
    """The parser refuses it, not a search for its letters."""
    (tmp_path / "a.xml").write_bytes(BOMB.replace('version="1.0"', 'version="1.0" encoding="UTF-16"').encode("utf-16"))
    with pytest.raises(BadBoxError, match="DOCTYPE"):
        object_box(tmp_path / "a.xml", 1)
    with pytest.raises(BadBoxError, match="cannot be read"):
        object_box(tmp_path / "b.xml", 1)


def test_boxes_count_from_one_and_include_their_ends(tmp_path: Path) -> None:
    """A pixel is a box; fractions, which VOC-2012 has, are rounded outwards."""
    (tmp_path / "a.xml").write_text(annotation([(3, 4, 3, 4), (1.5, 2.2, 9.1, 8.0)]))
    assert object_box(tmp_path / "a.xml", 1) == (2, 3, 3, 4)
    assert object_box(tmp_path / "a.xml", 2) == (0, 1, 10, 8)


@pytest.mark.parametrize("box", [(-9, 0, 0, 5), (10, 0, 12, 5), (0, -3, 5, 0), (0, 8, 5, 9)])
def test_a_box_outside_the_image_is_named(box: tuple[int, ...]) -> None:
    """On any side of an image of 10 × 8 pixels; one that is partly outside is not."""
    left, top, right, bottom = box
    with pytest.raises(BadBoxError, match="outside the image of 10×8 pixels"):
        clip_to_image((left, top, right, bottom), 8, 10)
    clip_to_image((left - 1, top - 1, right + 1, bottom + 1), 8, 10) if box[0] == 0 else None
    clip_to_image(tuple(np.add((left, top, right, bottom), (-20, -20, 20, 20)).tolist()), 8, 10)
