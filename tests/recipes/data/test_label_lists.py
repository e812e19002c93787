"""Images whose classes a list tells: tiny-imagenet and ImageNet as they are shipped."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from recipes.data.options import DataSource
from recipes.data.splits import load_splits, load_test_split
from tests.recipes.data.folders import classes_of, files_of, images, tree

WNIDS = ("n01443537", "n01629819", "n01641577")


def write(file: Path, lines: list[str]) -> None:
    """A file of lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Class folders in train/, and nine flat images in val/."""
    tree(tmp_path, {f"train/{wnid}": 2 for wnid in WNIDS})
    images(tmp_path, "val", 9, "ILSVRC2012_val_0000000{}.JPEG")
    return tmp_path


def expected(place: int) -> str:
    """The class of a validation image, in no order."""
    return WNIDS[place * place % 3]


def told(root: Path) -> dict[str, str]:
    """Class of each validation image as it is read."""
    return {Path(path).name: name for path, name in files_of(load_splits(str(root))[1], root)}


RIGHT = {f"ILSVRC2012_val_0000000{place}.JPEG": expected(place) for place in range(9)}


def test_tiny_imagenet_as_it_is_shipped(tmp_path: Path) -> None:
    """train/WNID/images, val/images with val_annotations.txt, test/images without labels."""
    tree(tmp_path, {f"train/{wnid}/images": 4 for wnid in WNIDS})
    for wnid in WNIDS:
        write(tmp_path / "train" / wnid / f"{wnid}_boxes.txt", [f"{wnid}_0.JPEG\t0\t0\t62\t62"])
    images(tmp_path, "val/images", 9, "val_{}.JPEG")
    lines = [f"val_{place}.JPEG\t{expected(place)}\t0\t32\t44\t62" for place in range(9)]
    write(tmp_path / "val" / "val_annotations.txt", lines)
    images(tmp_path, "test/images", 5, "test_{}.JPEG")
    write(tmp_path / "wnids.txt", list(WNIDS))
    write(tmp_path / "words.txt", [f"{wnid}\tan animal" for wnid in WNIDS])
    training, validation = load_splits(str(tmp_path))
    assert classes_of(training) == dict.fromkeys(WNIDS, 4)
    assert told(tmp_path) == {f"val_{place}.JPEG": expected(place) for place in range(9)}
    assert validation.class_names == WNIDS
    assert len(load_test_split(str(tmp_path), labelled=False)) == 5
    assert any("val_annotations.txt tells the classes" in note for note in training.notes)


@pytest.mark.parametrize("place", ["ILSVRC2012_devkit_t12/data", "."])
def test_imagenet_with_its_devkit(imagenet: Path, place: str) -> None:
    """The devkit's numbers are not those of the sorted WordNet ids."""
    ids = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2}
    (imagenet / place).mkdir(parents=True, exist_ok=True)
    rows = [(number, wnid, "words") for wnid, number in ids.items()] + [(4, "n00001740", "an inner node")]
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object)]
    savemat(imagenet / place / "meta.mat", {"synsets": np.array(rows, kinds)[:, None]})
    truth = [str(ids[expected(number)]) for number in range(9)]
    write(imagenet / place / "ILSVRC2012_validation_ground_truth.txt", truth)
    assert told(imagenet) == RIGHT
    (imagenet / place / "meta.mat").unlink()
    with pytest.raises(ValueError, match=r"meta\.mat is missing"):
        load_splits(str(imagenet))
    write(imagenet / place / "meta.mat", ["none"])
    with pytest.raises(ValueError, match=r"meta\.mat has no 'synsets'"):
        load_splits(str(imagenet))
    write(imagenet / place / "ILSVRC2012_validation_ground_truth.txt", truth[:8])
    with pytest.raises(ValueError, match="a number for each of the 9 images, got 8"):
        load_splits(str(imagenet))


@pytest.mark.parametrize("name", ["val.txt", "val/val_labels.txt", "val_list.txt", "val/labels.txt"])
@pytest.mark.parametrize("form", ["{name} {wnid}", "{stem},{wnid}", "{name} {number}", "val/{name}\t{wnid}\tmore"])
def test_a_list_tells_the_classes(imagenet: Path, name: str, form: str) -> None:
    """By names, or by numbers in sorted order."""
    if form.startswith("val/"):
        form = form.removeprefix("val/")
    lines = [
        form.format(name=file, stem=file.removesuffix(".JPEG"), wnid=wnid, number=WNIDS.index(wnid))
        for file, wnid in RIGHT.items()
    ]
    write(imagenet / name, lines[::-1])
    assert told(imagenet) == RIGHT


def test_a_validation_alone_can_be_tested_on(imagenet: Path) -> None:
    """Without training images numbers stay numbers, which are the net's outputs."""
    write(imagenet / "val.txt", [f"{file} {WNIDS.index(wnid)}" for file, wnid in RIGHT.items()])
    shutil.rmtree(imagenet / "train")
    split = load_test_split(str(imagenet))
    found = {Path(path).name: name for path, name in files_of(split, imagenet)}
    assert found == {file: str(WNIDS.index(wnid)) for file, wnid in RIGHT.items()}


def test_the_solution_of_kaggle_tells_the_classes(imagenet: Path) -> None:
    """As in the folder with Data/CLS-LOC."""
    lines = [f"{Path(file).stem},{wnid} 1 2 3 4" for file, wnid in RIGHT.items()]
    write(imagenet / "LOC_val_solution.csv", ["ImageId,PredictionString", *lines])
    assert told(imagenet) == RIGHT


def test_lists_of_another_form_are_refused(imagenet: Path) -> None:
    """Numbers out of range, images twice, two lists, unknown classes; images that are not listed have no label."""
    names = list(RIGHT)
    write(imagenet / "val.txt", [f"{name} {place + 1}" for place, name in enumerate(names)])
    with pytest.raises(ValueError, match=r"val\.txt: numbers of classes go from 0 to 2.*it has 9"):
        load_splits(str(imagenet))
    write(imagenet / "val.txt", [f"{names[0]} {WNIDS[0]}"] * 2)
    with pytest.raises(ValueError, match=r"val\.txt, line 2: expected each image once"):
        load_splits(str(imagenet))
    write(imagenet / "val.txt", [f"{name} {WNIDS[0]}" for name in names[1:]])
    with pytest.raises(ValueError, match=r"1 of 9 validation labels .*image 0"):
        load_splits(str(imagenet))
    write(imagenet / "val.txt", [f"{name} {WNIDS[0] if place else 'n0'}" for place, name in enumerate(names)])
    with pytest.raises(ValueError, match=r"1 of 9 validation labels .*'n0' \(1\)"):
        load_splits(str(imagenet))
    write(imagenet / "val" / "labels.txt", ["a b"])
    with pytest.raises(ValueError, match="may tell the classes; leave one of them"):
        load_splits(str(imagenet))


def test_a_list_of_names_alone_tells_nothing(imagenet: Path) -> None:
    """Beside a test without labels."""
    images(imagenet, "test", 2)
    write(imagenet / "test.txt", ["0.png", "1.png"])
    write(imagenet / "val.txt", [f"{file} {wnid}" for file, wnid in RIGHT.items()])
    assert told(imagenet) == RIGHT
    assert len(load_test_split(DataSource(spec=str(imagenet)), labelled=False)) == 2
