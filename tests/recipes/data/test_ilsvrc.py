"""ILSVRC's CLS-LOC folder as a data set, as it should be and as it should not."""

import shutil
from pathlib import Path

import pytest

from recipes.data.box_splits import load_box_splits, load_box_test_split
from recipes.data.boxed_images import Boxed
from recipes.data.boxes import kind_of_reason
from recipes.data.images import UNLABELLED
from recipes.data.source import load
from recipes.data.splits import load_splits, load_test_split
from tests.recipes.box_sets import HEIGHT, WIDTH, WNIDS, ilsvrc, objects, photo, write
from tests.recipes.features.test_voc import BOMB

TRAINING = Path("Annotations", "CLS-LOC", "train", WNIDS[0], f"{WNIDS[0]}_0.xml")
VALIDATION = Path("Annotations", "CLS-LOC", "val", "ILSVRC2012_val_00000001.xml")


def validation_image(root: Path) -> Boxed:
    """The first validation image."""
    return load_box_splits(str(root))[1].read_boxed([0])[0]


@pytest.mark.parametrize("inside", ["", "ILSVRC"])
@pytest.mark.parametrize("lists", [True, False])
def test_a_folder_of_ilsvrc_is_a_data_set(tmp_path: Path, inside: str, lists: bool) -> None:
    """All images for classification, those with annotations for boxes; with lists and without."""
    ilsvrc(tmp_path / inside, lists=lists)
    training, validation = load_splits(str(tmp_path))
    assert (len(training), len(validation)) == (8, 3)
    assert training.class_names == WNIDS
    assert [training.label(index) for index in range(8)] == [0] * 4 + [1] * 4
    assert [validation.label(index) for index in range(3)] == [0, 1, 0]
    assert training.pixels(7).shape == (HEIGHT, WIDTH, 3)
    boxed, tested, left_out = load_box_splits(str(tmp_path))
    assert (len(boxed), len(tested), len(left_out)) == (4, 3, 4)
    assert {problem.reason for problem in left_out} == {"no annotation"}
    assert [problem.index for problem in left_out] == [1, 3, 5, 7]
    assert Path(left_out[0].name).name == f"{WNIDS[0]}_1.JPEG"


def test_coordinates_begin_at_0_and_include_the_last_pixel(tmp_path: Path) -> None:
    """So that an area is (xmax - xmin + 1) pixels wide, as the development kit has it."""
    training, validation, _ = load_box_splits(str(ilsvrc(tmp_path)))
    assert training.read_boxed([1])[0].boxes.tolist() == [[2, 0, 23, 31]]
    assert validation.read_boxed([0])[0].boxes.tolist() == [[0, 1, WIDTH, HEIGHT]]


def test_boxes_are_those_of_the_images_own_class(tmp_path: Path) -> None:
    """What else is in the image is no object of it; every object of the class is one."""
    own, other = (WNIDS[0], (0, 0, 9, 9)), (WNIDS[1], (5, 5, 20, 20))
    write(ilsvrc(tmp_path) / TRAINING, objects(own, other, own))
    assert load_box_splits(str(tmp_path))[0].read_boxed([0])[0].boxes.tolist() == [[0, 0, 10, 10]] * 2
    write(tmp_path / TRAINING, objects(other))
    problem = load_box_splits(str(tmp_path))[2][0]
    assert problem.reason == f"annotation without objects of the class ({WNIDS[0]}_0.xml)"


def test_the_solution_tells_the_classes_of_the_validation(tmp_path: Path) -> None:
    """Beside the folder or in it, with a byte order mark or without; where it is silent, the annotation tells."""
    ilsvrc(tmp_path / "ILSVRC")
    rows = "ImageId,PredictionString\r\nILSVRC2012_val_00000001,n01443537 240 170 260 240 n01443537 1 2 3 4 \r\n"
    for folder, encoding in ((tmp_path, "utf-8"), (tmp_path / "ILSVRC", "utf-8-sig")):
        (folder / "LOC_val_solution.csv").write_text(rows, encoding)
        assert [load_test_split(str(tmp_path)).label(index) for index in range(3)] == [1, 1, 0]
        (folder / "LOC_val_solution.csv").unlink()
    assert [load_test_split(str(tmp_path)).label(index) for index in range(3)] == [0, 1, 0]
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n01443537 240 170\n")
    with pytest.raises(ValueError, match=r"LOC_val_solution.csv, line 2: expected ImageId,PredictionString of 'WNID"):
        load_splits(str(tmp_path))


def test_kaggles_folder_without_its_table_is_named(tmp_path: Path) -> None:
    """Nor annotations of the validation: the file, where it is looked for, and the way out, which works."""
    shutil.rmtree(ilsvrc(tmp_path / "ILSVRC") / "Annotations" / "CLS-LOC" / "val")
    images, root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val", tmp_path / "ILSVRC"
    told = rf"LOC_val_solution.csv is neither in {root} nor in {tmp_path}, and no annotation is in .*CLS-LOC/val\. Put"
    for load_all in (load_splits, load_box_splits):
        with pytest.raises(ValueError, match=rf"nothing tells the classes of the 3 images of {images}: {told}"):
            load_all(str(tmp_path))
    table = tmp_path / "LOC_val_solution.csv"
    table.write_text(f"ImageId,PredictionString\nother,{WNIDS[0]} 1 2 3 4\n")
    with pytest.raises(ValueError, match=rf"{table} has none of them"):
        load_splits(str(tmp_path))
    rows = [f"ILSVRC2012_val_{number + 1:08},{WNIDS[number % 2]} 1 2 3 4" for number in range(3)]
    table.write_text("\n".join(["ImageId,PredictionString", *rows]))
    assert [load_splits(str(tmp_path))[1].label(index) for index in range(3)] == [0, 1, 0]


def test_the_mapping_tells_all_classes(tmp_path: Path) -> None:
    """Also those of which there is no image, so that labels are those of the whole set."""
    ilsvrc(tmp_path)
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        "n01440764 tench, Tinca tinca\r\nn01443537 goldfish\r\nn01440000 first\r\n"
    )
    training, validation = load_splits(str(tmp_path))
    assert training.class_names == ("n01440000", *WNIDS)
    assert (training.label(0), validation.label(1)) == (1, 2)
    shutil.rmtree(tmp_path / "Data" / "CLS-LOC" / "train")  # only the validation images were downloaded
    assert load_test_split(str(tmp_path)).class_names == training.class_names
    assert len(load_box_test_split(str(tmp_path))) == 3


def test_a_validation_image_of_no_class_is_an_error_of_the_test(tmp_path: Path) -> None:
    """It stays, with the label -1; for classification the set is refused, as always."""
    (ilsvrc(tmp_path) / VALIDATION).unlink()
    first = validation_image(tmp_path)
    assert (first.label, len(first.boxes)) == (UNLABELLED, 0)
    assert first.problem is not None
    assert first.problem.reason == "no annotation"
    assert [load_box_test_split(str(tmp_path)).label(index) for index in range(3)] == [UNLABELLED, 1, 0]
    with pytest.raises(ValueError, match=r"1 of 3 validation labels are none of the 2 classes.*-1, of image 0"):
        load_splits(str(tmp_path))
    with pytest.raises(ValueError, match="none of the 2"):
        load_test_split(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("", "unreadable annotation", "is not XML"),
        ("<annotation>", "unreadable annotation", "is not XML"),
        (BOMB, "unreadable annotation", "has a DOCTYPE"),
        (objects(), "no class", "has objects of 0 classes"),
        (objects((WNIDS[0], (0, 0, 9, 9)), (WNIDS[1], (0, 0, 9, 9))), "no class", "has objects of 2 classes"),
        (objects(("dog", (0, 0, 9, 9))), "no class", "'dog' is none of the 2"),
        (objects((WNIDS[0], (30, 0, 10, 9))), "reversed box", "left 30 > right 10), object 1 of ILSVRC2012_val"),
        (objects((WNIDS[0], (0, 9, 10, 0))), "reversed box", "top 9 > bottom 0"),
        (objects((WNIDS[0], ("abc", 0, 10, 9))), "box coordinate is no number", "box coordinate 'abc' is not a number"),
        (objects((WNIDS[0], (0, 0, "inf", 9))), "box coordinate is no number", "'inf' is not a number (xmax of object"),
        (objects((WNIDS[0], (0, 0, "9" * 400, 9))), "box coordinate is no number", "999..."),
        (objects((WNIDS[0], (1e308, 0, 1.1e308, 9))), "box outside the image", "image of 48×36 pixels"),
        (objects((WNIDS[0], (-20, 0, -1, 9))), "box outside the image", "(-20, 0) to (0, 10)"),
        (f"<annotation><object><name>{WNIDS[0]}</name></object></annotation>", "object without box or name", "bndbox"),
        (objects(*[(WNIDS[0], (0, 0, 9, 9))] * 10_001), "too many objects", "(10,001; at most 10,000)"),
    ],
)
def test_each_bad_annotation_is_named(tmp_path: Path, text: str, kind: str, reason: str) -> None:
    """With the image's index and path, the annotation's name, and the problem; the image stays in the test."""
    write(ilsvrc(tmp_path) / VALIDATION, text)
    first = validation_image(tmp_path)
    assert len(first.boxes) == 0
    assert first.problem is not None
    assert (first.problem.split, first.problem.index) == ("validation", 0)
    assert Path(first.problem.name).name == "ILSVRC2012_val_00000001.JPEG"
    assert kind_of_reason(first.problem.reason) == kind
    assert reason in first.problem.reason


@pytest.mark.parametrize("kind", ["folder", "missing", "unreadable"])
def test_an_annotation_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    """A folder where the file should be, no file although train_loc.txt lists it, or a loop of links."""
    file = ilsvrc(tmp_path) / TRAINING
    file.unlink()
    if kind == "folder":
        file.mkdir()
    if kind == "unreadable":
        file.symlink_to(file.name)
    training, _, left_out = load_box_splits(str(tmp_path))
    assert (len(training), len(left_out)) == (3, 5)
    expected = "annotation is missing (train_loc.txt lists it)" if kind == "missing" else "cannot be read"
    assert expected in left_out[0].reason
    assert (left_out[0].index, Path(left_out[0].name).stem) == (0, f"{WNIDS[0]}_0")
    assert len(load_splits(str(tmp_path))[0]) == 8  # classification needs no boxes


def test_the_list_decides_which_images_there_are(tmp_path: Path) -> None:
    """An image that it has and the folder has not is one that cannot be decoded."""
    ilsvrc(tmp_path)
    (tmp_path / "Data" / "CLS-LOC" / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()
    photo(tmp_path / "Data" / "CLS-LOC" / "val" / "not_listed.JPEG")
    _, validation, _ = load_box_splits(str(tmp_path))
    assert len(validation) == 3
    found = validation.read_boxed(range(3))
    assert [boxed.pixels is None for boxed in found] == [False, True, False]
    assert found[1].problem is not None
    assert "the file cannot be read" in found[1].problem.reason
    following = validation.read_boxed_or_next([1])[0]
    assert following.problem == found[1].problem
    assert (following.label, len(following.boxes)) == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "val.txt is empty"),
        ("ILSVRC2012_val_00000001 1 2\n", "val.txt, line 1: expected 'name number'"),
        ("ILSVRC2012_val_00000001 1\r\n\r\n../../secret 2\r\n", r"val.txt, line 3: expected .*got '../../secret 2'"),
        ("/etc/passwd 1", "val.txt, line 1: expected"),
        ("a 1\nb 2\na 3\n", "val.txt, line 3: 'a' is listed twice"),
        (None, "val.txt is no file; expected a list of images"),
    ],
)
def test_a_list_that_is_none_is_one_clear_error(tmp_path: Path, text: str | None, message: str) -> None:
    """With the file and the line, whatever its line ends."""
    file = ilsvrc(tmp_path) / "ImageSets" / "CLS-LOC" / "val.txt"
    file.unlink()
    if text is None:
        file.mkdir()
    else:
        file.write_bytes(text.encode())
    with pytest.raises(ValueError, match=message):
        load_splits(str(tmp_path))


def test_windows_line_ends_and_names_without_folders_are_read(tmp_path: Path) -> None:
    """A training image's folder is its class, which its name begins with."""
    file = ilsvrc(tmp_path) / "ImageSets" / "CLS-LOC" / "train_cls.txt"
    file.write_bytes(b"n01443537_0 1\r\nn01440764/n01440764_1 2\r\n\r\n")
    training = load_splits(str(tmp_path))[0]
    assert [training.label(index) for index in range(2)] == [1, 0]
    assert training.pixels(0).shape == (HEIGHT, WIDTH, 3)


def test_test_images_have_no_class(tmp_path: Path) -> None:
    """They are the split without labels."""
    photo(ilsvrc(tmp_path) / "Data" / "CLS-LOC" / "test" / "ILSVRC2012_test_00000001.JPEG")
    assert load_test_split(str(tmp_path), labelled=False).label(0) == UNLABELLED
    assert len(load_splits(str(tmp_path))[1]) == 3


def test_training_annotations_are_read_only_for_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million files are not read for classification, nor for a test."""
    read = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), real(path))[1])
    (ilsvrc(tmp_path) / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n" + "".join(f"ILSVRC2012_val_0000000{n},{WNIDS[0]} 1 2 3 4\n" for n in (1, 2, 3))
    )
    load_splits(str(tmp_path))
    assert read == []
    load_box_test_split(str(tmp_path))
    assert len(read) == 3
    load(str(tmp_path))
    assert len(read) == 3 + 4 + 3


def test_a_folder_without_images_or_annotations_says_so(tmp_path: Path) -> None:
    """Neither is taken for an empty set."""
    (tmp_path / "Data" / "CLS-LOC").mkdir(parents=True)
    with pytest.raises(ValueError, match="has none of the folders train, val, test"):
        load_splits(str(tmp_path))
    ilsvrc(tmp_path)
    shutil.rmtree(tmp_path / "Annotations" / "CLS-LOC" / "train")
    (tmp_path / "ImageSets" / "CLS-LOC" / "train_loc.txt").unlink()
    with pytest.raises(ValueError, match=r"none of the 8 training images has a usable box \(no annotation: 8\)"):
        load_box_splits(str(tmp_path))
