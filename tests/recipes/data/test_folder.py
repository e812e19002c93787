"""Folders of images: which folders are splits and classes, against torchvision's ImageFolder, and what is said."""

import json
import shutil
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder

from recipes import check_data
from recipes.data.images import UNLABELLED
from recipes.data.options import DataSource
from recipes.data.splits import load_splits, load_test_split
from tests.recipes.data.folders import classes_of, files_of, images, tree


def as_torchvision(folder: Path) -> list[tuple[str, str]]:
    """Path and class of each image as torchvision reads the folder, in its order."""
    found = ImageFolder(str(folder))
    return [(str(Path(path).relative_to(folder)), found.classes[label]) for path, label in found.samples]


def as_here(root: Path, split: str) -> list[tuple[str, str]]:
    """The same, as the folder of a split is read here."""
    return list(files_of(load_test_split(DataSource(spec=str(root), validation_split=split)), root / split))


NAMES = st.text(st.sampled_from("aAbB é日[]~*? -_'"), min_size=1, max_size=5).filter(
    lambda name: name.strip() == name and name not in ("~", "-")
)


@settings(deadline=None, max_examples=30)
@given(
    paths=st.sets(st.lists(NAMES, min_size=2, max_size=4).map(tuple), min_size=2, max_size=8),
    where=NAMES,
)
def test_random_trees_are_read_as_torchvision_reads_them(paths: set[tuple[str, ...]], where: str) -> None:
    """Classes, images and their order, whatever the names and however deep."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / where
        for path in paths:
            for number in range(2):
                file = root / "train" / Path(*path) / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        images(root, "val/" + sorted(paths)[0][0], 1)
        assert as_here(root, "train") == as_torchvision(root / "train")


@pytest.mark.parametrize("name", ["[v1]", "a b", "~x", "日本 é", "100%", "a*b", "train", "x.test"])
def test_any_name_of_the_folder_will_do(name: str, tmp_path: Path) -> None:
    """Its own name is no split and no pattern."""
    root = tree(tmp_path / name, {"train/a": 3, "train/b": 2, "val/a": 1, "val/b": 1})
    assert as_here(root, "train") == as_torchvision(root / "train")


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a file of settings, where no shell replaces the tilde."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tree(tmp_path / "set", {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1})
    assert len(load_splits("~/set")[0]) == 2


def test_classes_may_be_called_as_splits(tmp_path: Path) -> None:
    """A class train and a class test_tube are classes."""
    counts = {"train/a": 5, "train/train": 4, "train/test_tube": 3, "test/a": 2, "test/train": 2, "test/test_tube": 2}
    training, test = load_splits(str(tree(tmp_path, counts)))
    assert classes_of(training) == {"a": 5, "test_tube": 3, "train": 4}
    assert classes_of(test) == {"a": 2, "test_tube": 2, "train": 2}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Training", "Testing"), "test"),
        (("Train", "Val", "Test"), "validation"),
        (("TRAIN", "valid"), "validation"),
        (("training_set", "test_set"), "test"),
    ],
)
def test_splits_are_known_in_any_case(
    names: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All training images and no others are used, and guesses are reported; a split's own name works too."""
    for place, name in enumerate(names):
        tree(tmp_path, {f"{name}/a": 4 + place, f"{name}/b": 4 + place})
    training, validation = load_splits(str(tmp_path))
    assert (len(training), len(validation)) == (8, 10)
    assert f"{names[0]}/ as train" in capsys.readouterr().out
    assert any("the split 'test' is taken for it" in note for note in training.notes) == (expected == "test")
    source = DataSource(spec=str(tmp_path), training_split=names[1], validation_split=names[0])
    assert [len(split) for split in load_splits(source)] == [10, 8]
    assert len(load_splits(DataSource(spec=str(tmp_path), validation_split="training"))[1]) == 8


def test_names_of_files_tell_nothing(tmp_path: Path) -> None:
    """Flat classes, some files called train_ or test_."""
    for label in ("ant", "bee", "cat"):
        images(tmp_path, label, 10)
        images(tmp_path, label, 10, "train_{}.png")
        images(tmp_path, label, 10, "test-{}.png")
    training, held_out = load_splits(str(tmp_path))
    assert (len(training), len(held_out)) == (72, 18)
    assert any("18 images of 90, a fifth, are held out" in note for note in training.notes)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    """A class that is a link, a file that is one, a link to the folder around, and one to nowhere."""
    root = tree(tmp_path / "set", {"train/a": 2, "val/a": 1, "val/b": 1})
    tree(tmp_path / "elsewhere", {"b": 3})
    (root / "train" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (root / "train" / "a" / "link.png").symlink_to(tmp_path / "elsewhere" / "b" / "0.png")
    (root / "train" / "a" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (root / "train" / "a" / "loop").symlink_to(root)
    (root / "train" / "a" / "round.png").symlink_to(root / "train" / "a" / "round.png")
    training, _ = load_splits(str(root))
    assert classes_of(training) == {"a": 5, "b": 3}
    assert [problem.reason for *_, problem in training.read(range(8)) if problem] == [
        "the file cannot be read (No such file or directory)",
        "the file cannot be read (Too many levels of symbolic links)",
    ]
    assert any("link(s) to a folder around them" in note for note in training.notes)


def test_no_image_disappears_from_a_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formats by content; what looks like an image and is none is a problem; the rest is counted by kind and named."""
    root = tree(tmp_path / "set", {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1})
    folder = root / "train" / "a"
    Image.new("RGB", (8, 8)).save(folder / "modern.avif")
    Image.new("RGB", (8, 8)).save(folder / "without_ending", "JPEG")
    Image.new("RGB", (8, 8)).save(folder / "odd.data", "WEBP")
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    (folder / "text.jpg").write_text("no image")
    for name in ("x.xml", "y.xml", "notes.txt", "RENAME2", "Thumbs.db", ".DS_Store", "._0.png"):
        (folder / name).write_text("something")
    tree(root, {"train/__MACOSX": 1, "train/a/.hidden": 2})
    assert check_data.main(["--data", str(root), "--output", str(tmp_path / "report")]) == 1
    out = capsys.readouterr().out
    assert "note: 9 files are no images (3 hidden, 2 .xml, 2 hidden folder(s), 1 .txt, 1 without an ending)" in out
    assert "Pillow cannot read this HEIC file here" in out
    report = json.loads((tmp_path / "report" / "data.json").read_text())
    assert (report["training"]["images"], report["training"]["cannot_be_decoded"]) == (9, 2)
    assert any("9 files are no images" in note for note in report["notes"])


def test_folders_in_a_class_belong_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in torchvision, with a note."""
    counts = {f"{split}/{label}/{when}": 2 for split in ("train", "val") for label in "ab" for when in ("day", "night")}
    root = tree(tmp_path, counts)
    assert classes_of(load_splits(str(root))[0]) == {"a": 4, "b": 4}
    assert as_here(root, "train") == as_torchvision(root / "train")
    assert "train: folders in a class belong to it: 'day', 'night'" in capsys.readouterr().out


def test_a_class_called_train_beside_others(tmp_path: Path) -> None:
    """Cars, trains and planes."""
    training, held_out = load_splits(str(tree(tmp_path, {"car": 5, "train": 5, "plane": 5})))
    assert training.class_names == ("car", "plane", "train")
    assert (len(training), len(held_out)) == (12, 3)


def test_folders_that_are_no_splits_are_said_and_can_be_named(tmp_path: Path) -> None:
    """Beside good splits they are ignored; by their own name they are a split."""
    root = tree(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1, "extras/a": 2, "extras/b": 3})
    images(root, "loose", 2)
    images(root, ".", 2, "cover{}.png")
    images(root, "train", 1, "lost{}.png")
    training, validation = load_splits(str(root))
    assert (len(training), len(validation)) == (4, 2)
    said = "\n".join(training.notes)
    covers = "2 images ('cover0.png', 'cover1.png')"
    for words in ("extras/ (5 images)", "loose/ (2 images)", covers, "'train/lost0.png'"):
        assert words in said
    source = DataSource(spec=str(root), validation_split="extras")
    assert classes_of(load_splits(source)[1]) == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"train/a": 1, "train/b": 1, "Training/a": 1}, "'Training', 'train' are all the train split"),
        ({"train": 2, "test": 2}, "hold images and no class folders"),
        ({"cat": 2, "dog": 2, "test": 2}, "'test', 'cat', 'dog' hold images and no class folders"),
        ({"train/steam": 2, "train/diesel": 2, "car/red": 2, "plane/jet": 2}, "may be splits or classes"),
        ({"archive/train/a": 2, "archive/test/a": 2}, "give --data .*archive"),
        ({"bottle/train/good": 2, "bottle/test/bad": 2, "cable/train/good": 2}, "move bottle/test to test/bottle"),
        ({"seg_train/a": 2, "seg_train/b": 2, "seg_test/a": 2, "seg_test/b": 2}, "call them train, val, test"),
        ({"train2017/a": 2, "val2017/a": 2}, "'train2017', 'val2017' are splits or classes"),
        ({"images/cat": 2, "images/dog": 2}, "has one folder, 'images', so one class.* give --data .*images"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(counts: dict[str, int], words: str, tmp_path: Path) -> None:
    """By name, with the way out."""
    with pytest.raises(ValueError, match=words):
        load_splits(str(tree(tmp_path, counts)))


def test_an_unlabelled_test_beside_good_splits_is_ignored(tmp_path: Path) -> None:
    """A note reports it, and it can be selected; alone beside train/ it is no validation split."""
    root = tree(tmp_path, {"train/a": 5, "train/b": 5, "val/a": 1, "val/b": 2, "test": 4})
    training, validation = load_splits(str(root))
    assert classes_of(validation) == {"a": 1, "b": 2}
    assert "test/: 4 images without class folders are unlabelled" in training.notes
    unlabelled = load_test_split(str(root), labelled=False)
    assert unlabelled.rows["label"][:] == [UNLABELLED] * 4
    shutil.rmtree(root / "val")
    training, held_out = load_splits(str(root))
    assert (len(training), len(held_out)) == (8, 2)
    assert any("the split 'test' has no labels (4 images), and is ignored" in note for note in training.notes)
    with pytest.raises(ValueError, match=r"4 of 4 validation labels .*Is the split unlabelled\?"):
        load_splits(DataSource(spec=str(root), validation_split="test"))


def test_images_alone_are_unlabelled(tmp_path: Path) -> None:
    """For a submission; to train on them is refused."""
    images(tmp_path, "images", 3)
    assert len(load_test_split(str(tmp_path), labelled=False)) == 3
    with pytest.raises(ValueError, match="in a folder of images every class has a folder of its own"):
        load_splits(str(tmp_path))


def test_a_flat_validation_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Its labels are unknown; it is not left out silently."""
    root = tree(tmp_path, {"train/a": 5, "train/b": 5, "val": 3})
    with pytest.raises(ValueError, match=r"3 of 3 validation labels .*--validation-split"):
        load_splits(str(root))


def test_empty_folders_are_said(tmp_path: Path) -> None:
    """An empty class has no images; an empty split is refused."""
    root = tree(tmp_path, {"train/a": 5, "train/b": 5, "train/c": 0, "val/a": 1, "val/b": 1})
    training, _ = load_splits(str(root))
    assert training.class_names == ("a", "b", "c")
    assert "1 of 3 classes have no training image: 'c'" in training.notes
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    with pytest.raises(ValueError, match="has no validation images: the split is empty"):
        load_splits(str(root))


def test_a_class_of_one_split_alone_is_said(tmp_path: Path) -> None:
    """Only in training: a note. Only in validation: refused by name in training, a note in testing."""
    root = tree(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1})
    assert "1 of 2 classes have no validation image: 'b'" in load_splits(str(root))[0].notes
    tree(root, {"val/dgo": 2})
    with pytest.raises(ValueError, match=r"2 of 3 validation labels .*'a', 'b': 'dgo' \(2\)\. Add"):
        load_splits(str(root))
    tested = load_test_split(str(root))
    assert tested.class_names == ("a", "b", "dgo")
    assert "1 class is in the validation split and not in the training split: 'dgo'" in tested.notes


def test_the_same_pixels_come_out(tmp_path: Path) -> None:
    """Images are read where they lie."""
    root = tree(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1})
    Image.new("RGB", (9, 7), (1, 2, 3)).save(root / "train" / "a" / "0.png")
    assert np.array_equal(load_splits(str(root))[0].pixels(0), np.full((7, 9, 3), (1, 2, 3), np.uint8))


def test_a_repository_with_a_description_is_left_to_datasets(tmp_path: Path) -> None:
    """README.md says which files are which split."""
    root = tree(tmp_path, {"one/a": 1, "one/b": 1, "two/a": 1, "two/b": 2})
    head = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: one/**\n"
    (root / "README.md").write_text(head + "  - split: test\n    path: two/**\n---\n")
    assert [len(split) for split in load_splits(str(root))] == [2, 3]


def test_notes_are_the_main_process_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, not once for each process."""
    root = tree(tmp_path, {"a": 5, "b": 5})
    monkeypatch.setenv("RANK", "1")
    load_splits(str(root))
    assert "note" not in capsys.readouterr().out
    monkeypatch.setenv("RANK", "0")
    load_splits(str(root))
    assert capsys.readouterr().out.count("a fifth, are held out") == 1


def test_files_beside_the_images_do_not_decide(tmp_path: Path) -> None:
    """Archives that were unpacked here, tables of something else, lists of a competition."""
    root = tree(tmp_path, {"train/a": 5, "train/b": 5, "val/a": 1, "val/b": 1})
    for name in ("train.tar", "labels.csv", "train.zip", "val/notes.jsonl"):
        (root / name).write_text("a,b\n1,2\n")
    datasets.Dataset.from_dict({"text": ["x"]}).to_parquet(root / "test.parquet")
    training, validation = load_splits(str(root))
    assert (len(training), len(validation)) == (10, 2)
    assert any(note.startswith("5 files are no images") for note in training.notes)


def test_a_table_beside_the_splits_is_refused(tmp_path: Path) -> None:
    """It has both splits, and its rows do not say which is which."""
    root = tree(tmp_path, {"train": 2, "test": 2})
    (root / "metadata.csv").write_text("file_name,kind\ntrain/0.png,a\n")
    with pytest.raises(ValueError, match=r"metadata\.csv lies beside the folders of the splits, 'test', 'train'"):
        load_splits(str(root))
