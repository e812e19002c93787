"""Data sets from everywhere, and batches that do not depend on processes or workers."""

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from recipes.data import source
from recipes.data.images import LabelledImages, training_colours
from recipes.data.options import DataSource
from recipes.data.splits import load_splits


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledImages, LabelledImages]:
    """The digits' two splits."""
    return load_splits("digits")


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, five images each, of several sizes."""
    for label, colour in (("ant", (255, 0, 0)), ("bee", (0, 0, 255))):
        (tmp_path / "set" / label).mkdir(parents=True)
        for place in range(5):
            Image.new("RGB", (70 + place, 80), colour).save(tmp_path / "set" / label / f"{place}.png")
    return tmp_path / "set"


def test_the_digits_are_all_there_and_a_fifth_is_held_out(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """1,797 images, ten classes, every class held out in proportion, no image in both splits."""
    training, held_out = digits
    assert len(training) + len(held_out) == 1797
    assert len(held_out) == 360
    assert training.class_names == tuple("0123456789")
    counts = np.bincount([held_out.label(i) for i in range(len(held_out))])
    assert counts.min() >= 34
    assert held_out.pixels(0).shape == (8, 8, 3)


def test_the_held_out_fifth_is_the_same_every_time(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """A result can be compared with yesterday's."""
    again = load_splits("digits")[1]
    assert [again.label(i) for i in range(360)] == [digits[1].label(i) for i in range(360)]


def test_a_folder_of_images_is_a_data_set(image_folder: Path) -> None:
    """Classes are the folders' names, in order."""
    training, held_out = load_splits(str(image_folder))
    assert training.class_names == ("ant", "bee")
    assert (len(training), len(held_out)) == (8, 2)
    assert training_colours(training).mean == pytest.approx((127.5, 0, 127.5))


def test_a_folder_with_splits_keeps_them(image_folder: Path, tmp_path: Path) -> None:
    """train/ and val/ are used as they are."""
    (tmp_path / "both").mkdir()
    image_folder.rename(tmp_path / "both" / "train")
    for label in ("ant", "bee"):
        (tmp_path / "both" / "val" / label).mkdir(parents=True)
        Image.new("L", (64, 64)).save(tmp_path / "both" / "val" / label / "x.png")
    training, validation = load_splits(str(tmp_path / "both"))
    assert (len(training), len(validation)) == (10, 2)


def test_parquet_and_saved_sets_are_data_sets(image_folder: Path, tmp_path: Path) -> None:
    """The same images come out of a parquet file and of `save_to_disk`."""
    rows = datasets.load_dataset(str(image_folder), split="train")
    rows.to_parquet(tmp_path / "set.parquet")
    rows.save_to_disk(tmp_path / "saved")
    for spec in (tmp_path / "set.parquet", tmp_path / "saved"):
        training, held_out = load_splits(str(spec))
        assert (len(training), len(held_out)) == (8, 2)
        assert training.pixels(0).shape[0] == 80


def test_nothing_at_the_place_named_is_one_clear_error(tmp_path: Path) -> None:
    """The message names the value and what could be given."""
    with pytest.raises(ValueError, match=r"cannot load the data set '.*nowhere'.*'digits', 'pasted_digits', a folder"):
        load_splits(str(tmp_path / "nowhere"))


def test_a_set_without_classes_lists_its_columns(tmp_path: Path) -> None:
    """The message names the columns that there are."""
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "texts")
    with pytest.raises(ValueError, match=r"needs a column of type Image .* it has text \(Value\)"):
        load_splits(str(tmp_path / "texts"))


def table(folder: Path, labels: list[object], count: int = 10, **columns: list[object]) -> Path:
    """A parquet file with a column "picture" of images and one "kind" of labels."""
    images = [Image.new("RGB", (40, 30), (20 * place % 256, 0, 0)) for place in range(count)]
    features = datasets.Dataset.from_dict({"kind": labels, **columns}).features
    features["picture"] = datasets.Image()
    rows = datasets.Dataset.from_dict({"picture": images, "kind": labels, **columns}, features=features)
    rows.to_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def test_a_column_of_texts_or_numbers_can_hold_the_classes(tmp_path: Path) -> None:
    """Named by a flag; texts become classes in order, numbers keep their meaning."""
    kinds = ["wasp", "ant", "moth", "fly", "bee", "gnat", "cicada", "tick"]
    texts = table(tmp_path, kinds * 5, 40)
    training, held_out = load_splits(DataSource(spec=str(texts), label_column="kind"))
    assert training.class_names == tuple(sorted(kinds))
    assert sorted(training.label(i) for i in range(32)) == sorted([*range(8)] * 4)
    assert (len(training), len(held_out)) == (32, 8)
    (tmp_path / "numbers").mkdir()
    numbers = table(tmp_path / "numbers", [2, 0] * 5)
    training, _ = load_splits(DataSource(spec=str(numbers), label_column="kind", image_column="picture"))
    assert training.class_names == ("0", "1", "2")
    assert {training.label(i) for i in range(8)} == {0, 2}


def test_names_can_come_from_a_file(tmp_path: Path) -> None:
    """One a line, in the order of the labels; too few of them leave labels without a class."""
    (tmp_path / "names.txt").write_text("zebra\nyak\nxerus\n")
    numbers = str(table(tmp_path, [2, 0] * 5))
    names = tmp_path / "names.txt"
    training, _ = load_splits(DataSource(spec=numbers, label_column="kind", class_names=names))
    assert training.class_names == ("zebra", "yak", "xerus")
    names.write_text("zebra\nyak\n")
    with pytest.raises(ValueError, match=r"5 of 10 training labels are none of the 2 classes; .*2.*image 0"):
        load_splits(DataSource(spec=numbers, label_column="kind", class_names=names))
    with pytest.raises(ValueError, match="no file of class names"):
        load_splits(DataSource(spec=numbers, label_column="kind", class_names=tmp_path / "nothing"))


def test_an_unlabelled_split_is_refused(tmp_path: Path) -> None:
    """ILSVRC's test split has the label -1."""
    with pytest.raises(ValueError, match=r"labels are none of .*-1.*Is the split unlabelled\?"):
        load_splits(DataSource(spec=str(table(tmp_path, [0, 1, -1, 0, 1] * 2)), label_column="kind"))


def test_mistyped_columns_and_splits_list_what_there_is(tmp_path: Path) -> None:
    """The message names the flag."""
    spec = str(table(tmp_path, ["a", "b"] * 5))
    with pytest.raises(ValueError, match=r"no column 'label' \(--label-column\); it has .*picture \(Image\)"):
        load_splits(DataSource(spec=spec, label_column="label"))
    with pytest.raises(ValueError, match=r"no split named 'training'; it has train"):
        load_splits(DataSource(spec=spec, label_column="kind", training_split="training"))
    with pytest.raises(ValueError, match=r"no split named 'val'; it has train"):
        load_splits(DataSource(spec=spec, label_column="kind", validation_split="val"))
    with pytest.raises(ValueError, match=r"needs a column of type Image and one of type ClassLabel.*--label-column"):
        load_splits(spec)


def test_the_colours_are_those_of_numpy(image_folder: Path) -> None:
    """Mean and principal components of all pixels, where all images have one size."""
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(3, 3)) * 15
    for path in sorted(image_folder.rglob("*.png")):
        pixels = (generator.normal(size=(50, 60, 3)) @ mixing + 128).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    training, _ = load_splits(str(image_folder))
    stack = np.concatenate([training.pixels(i).reshape(-1, 3) for i in range(len(training))]).astype(float)
    colours = training_colours(training)
    assert colours.mean == pytest.approx(stack.mean(0))
    covariance = np.cov((stack / 255).T, bias=True)
    vectors, values = np.array(colours.eigenvectors), np.array(colours.eigenvalues) / 255
    assert values[0] > values[1] > values[2] > 0
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, covariance, rtol=1e-8)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)


def test_a_bad_image_is_replaced_by_the_next_good_one(image_folder: Path) -> None:
    """In training; in testing it is None. The problem names split, index, file and reason."""
    for name in ("1.png", "2.png"):
        (image_folder / "ant" / name).write_bytes(b"not an image")
    rows = datasets.load_dataset(str(image_folder), split="train").cast_column("image", datasets.Image(decode=False))
    split = LabelledImages("training", rows, ("ant", "bee"))
    (image, label, problem), (same, _, fine) = split.read_or_next([1, 3])
    assert np.array_equal(image, same)
    assert (label, fine) == (0, None)
    assert problem is not None
    assert (problem.split, problem.index, Path(problem.name).name) == ("training", 1, "1.png")
    assert problem.reason == "no image format that Pillow knows"
    assert split.read([2])[0][0] is None


def test_a_set_without_a_good_image_is_refused(tmp_path: Path) -> None:
    """Rather than searched for ever."""
    features = datasets.Features(image=datasets.Image(decode=False), label=datasets.ClassLabel(names=["x"]))
    columns = {"image": [{"bytes": b"", "path": "a"}] * 3, "label": [0] * 3}
    split = LabelledImages("training", datasets.Dataset.from_dict(columns, features=features), ("x",))
    with pytest.raises(ValueError, match="none of the 3 training images can be decoded"):
        split.read_or_next([0])


def of_counts(folder: Path, counts: Sequence[int]) -> datasets.Dataset:
    """A data set on the disk with so many images of each class, every one of another colour."""
    places = [(label, number) for label, count in enumerate(counts) for number in range(count)]
    images = [Image.new("RGB", (8, 8), (*place, 0)) for place in places]
    labels = [label for label, _ in places]
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(num_classes=len(counts)))
    rows = datasets.Dataset.from_dict({"image": images, "label": labels}, features=kinds)
    rows.save_to_disk(str(folder))
    return rows


@pytest.mark.parametrize(
    ("counts", "held", "alone"),
    [
        ([10, 1], [2, 0], "'1'"),
        ([1, 1, 1, 3], [0, 0, 0, 1], "'0', '1', '2'"),
        ([2] * 8, [1] * 8, None),
        ([4] * 8, [1] * 8, None),
        ([2, 4, 13, 1], [1, 1, 3, 0], "'3'"),
    ],
)
def test_of_a_small_set_one_image_of_each_class_is_held_out(
    tmp_path: Path, counts: Sequence[int], held: Sequence[int], alone: str | None
) -> None:
    """The same images every time; a class of one image is trained on, with a note."""
    of_counts(tmp_path / "set", counts)
    training, tested = load_splits(str(tmp_path / "set"))
    labels = [split.rows.with_format("numpy")["label"][:] for split in (training, tested)]
    assert np.bincount(labels[1], minlength=len(counts)).tolist() == held
    assert np.bincount(labels[0], minlength=len(counts)).tolist() == list(np.subtract(counts, held))
    pixels = [{tuple(split.pixels(index)[0, 0]) for index in range(len(split))} for split in (training, tested)]
    assert not pixels[0] & pixels[1]
    assert {tuple(image[0, 0]) for image in map(load_splits(str(tmp_path / "set"))[1].pixels, range(sum(held)))} == (
        pixels[1]
    )
    said = " ".join(training.notes)
    assert f"of {sum(counts)}, a fifth and at least one of each class, are held out" in said
    assert alone is None or f"classes of one image are trained on and not tested: {alone}" in said


@pytest.mark.parametrize("counts", [[1] * 7, [1]])
def test_a_set_with_nothing_to_hold_out_is_refused(tmp_path: Path, counts: Sequence[int]) -> None:
    """By the data set and the way out, in place of scikit-learn's words."""
    of_counts(tmp_path / "set", counts)
    message = rf"each class of its {len(counts)} has one image only\. Add images, or"
    expected = rf"^data set '{tmp_path / 'set'}' has no validation split.*{message} .*--validation-split"
    with pytest.raises(ValueError, match=expected):
        load_splits(str(tmp_path / "set"))


@pytest.mark.parametrize("counts", [[2] * 7 + [22], [9] * 4, [4] * 5 + [16], [5], [3, 3]])
def test_the_same_images_are_held_out_as_ever(tmp_path: Path, counts: Sequence[int]) -> None:
    """Wherever there are enough of them: those that `datasets` draws, so that results stay comparable."""
    drawn = of_counts(tmp_path / "set", counts).train_test_split(0.2, stratify_by_column="label", seed=0)
    for split, expected in zip(load_splits(str(tmp_path / "set")), (drawn["train"], drawn["test"]), strict=True):
        found = [tuple(split.pixels(index)[0, 0]) for index in range(len(split))]
        assert found == [image.getpixel((0, 0)) for image in expected["image"]]


def test_datasets_shows_bars_of_what_it_has_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time alone; whatever it shows is hidden again."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("label\n1\n2\n")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    shown: list[bool] = []
    monkeypatch.setattr(source, "show_bars_of_datasets", shown.append)
    for expected in ([True, False], [False, False]):
        shown.clear()
        assert source._prepared(str(tmp_path / "set"))["train"]["label"][:] == [1, 2]
        assert shown == expected
