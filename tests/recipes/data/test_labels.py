"""Labels are classes by name, whatever their numbers in a split; what cannot be one is a sentence."""

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recipes import check_data
from recipes.data.options import DataSource
from recipes.data.splits import load_splits, load_test_split
from tests.recipes.data.folders import classes_of

ORDERS = (["ant", "bee", "cat"], ["cat", "ant", "bee"])
COUNTS = {"ant": 3, "bee": 4, "cat": 5}


def table(labels: list[Any], kind: Any) -> datasets.Dataset:
    """An image for each label; a column of some type."""
    images = [{"bytes": b"no image", "path": None}] * len(labels)
    features = datasets.Features(image=datasets.Image(decode=False), label=kind)
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


def named(order: list[str], counts: dict[str, int]) -> datasets.Dataset:
    """So many images of each class, whose numbers are those of an order."""
    labels = [name for name, count in counts.items() for _ in range(count)]
    return table([order.index(name) for name in labels], datasets.ClassLabel(names=order))


def saved(folder: Path, **splits: datasets.Dataset) -> str:
    """The splits, saved."""
    datasets.DatasetDict(splits).save_to_disk(folder)
    return str(folder)


def parquet(folder: Path, **splits: datasets.Dataset) -> str:
    """The splits, a parquet file each."""
    folder.mkdir(parents=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return str(folder)


@pytest.mark.parametrize("write", [saved, parquet])
def test_classes_are_matched_by_name(write: Any, tmp_path: Path) -> None:
    """In training and in testing, where the splits number the classes differently; a note reports it."""
    folder = tmp_path / "[v1] set"
    spec = write(folder, train=named(ORDERS[0], COUNTS), test=named(ORDERS[1], COUNTS))
    for split in (*load_splits(spec), load_test_split(spec)):
        assert split.class_names == tuple(ORDERS[0])
        assert classes_of(split) == COUNTS
        assert any("in another order than the training split; names decide" in note for note in split.notes)


def test_one_parquet_file_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """No pattern is read into it."""
    folder = parquet(tmp_path / "[v1] ~ é", train=named(ORDERS[0], {"ant": 5, "bee": 5, "cat": 5}))
    training, held_out = load_splits(f"{folder}/train-00000-of-00001.parquet")
    assert (len(training), len(held_out)) == (12, 3)


def test_parquet_files_of_one_split_with_other_classes_are_refused(tmp_path: Path) -> None:
    """Rather than read as if they were the first's."""
    spec = parquet(tmp_path / "set", train=named(ORDERS[0], COUNTS))
    named(ORDERS[1], COUNTS).to_parquet(tmp_path / "set" / "train-00001-of-00002.parquet")
    with pytest.raises(ValueError, match="has other columns or classes than"):
        load_splits(spec)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "train.parquet").write_text("x")
    for spec in (tmp_path, tmp_path / "train.parquet"):
        with pytest.raises(ValueError, match=r"train\.parquet is no parquet file"):
            load_splits(str(spec))


def test_a_class_of_one_split_alone(tmp_path: Path) -> None:
    """Only in validation: named. Without training images: said."""
    spec = saved(tmp_path / "set", train=named(ORDERS[0], {"ant": 3, "bee": 1}), validation=named(ORDERS[1], COUNTS))
    training, _ = load_splits(spec)
    assert "1 of 3 classes have no training image: 'cat'" in training.notes
    spec = saved(tmp_path / "two", train=named(["ant", "bee"], {"ant": 3}), validation=named(ORDERS[1], COUNTS))
    with pytest.raises(ValueError, match=r"5 of 12 validation labels are none of the 2 classes.*'cat' \(5\)"):
        load_splits(spec)
    assert load_test_split(spec).class_names == ("ant", "bee", "cat")


def test_numbers_with_holes_are_said(tmp_path: Path) -> None:
    """They keep their meaning: 0, 500 and 1000 give 1,001 outputs, with a note. Too large numbers are refused."""
    kind = datasets.Value("int64")
    spec = saved(tmp_path / "set", train=table([0, 500, 1000] * 5, kind))
    training, _ = load_splits(DataSource(spec=spec, label_column="label"))
    assert len(training.class_names) == 1001
    assert any("so there are 1,001 classes; 998 of the numbers do not occur" in note for note in training.notes)
    spec = saved(tmp_path / "ids", train=table([10**12, 5] * 5, kind))
    with pytest.raises(ValueError, match="largest label is 1,000,000,000,000"):
        load_splits(DataSource(spec=spec, label_column="label"))


@pytest.mark.parametrize(
    ("kind", "labels", "names"),
    [
        (datasets.Value("string"), ["NA", "b"], ("NA", "b")),
        (datasets.Value("bool"), [True, False], ("False", "True")),
        (datasets.Value("float64"), [1.0, 0.0], ("0", "1")),
        (datasets.Value("uint8"), [1, 0], ("0", "1")),
    ],
)
def test_columns_of_plain_values(kind: Any, labels: list[Any], names: tuple[str, ...], tmp_path: Path) -> None:
    """Texts, truth values, and numbers that a table made floats of."""
    spec = saved(tmp_path / "set", train=table(labels * 5, kind), test=table(labels[::-1], kind))
    training, test = load_splits(DataSource(spec=spec, label_column="label"))
    assert training.class_names == names
    assert classes_of(training) == dict.fromkeys(names, 5)
    assert classes_of(test) == dict.fromkeys(names, 1)


@pytest.mark.parametrize("kind", [datasets.List(datasets.Value("int64")), datasets.Sequence(datasets.Value("int64"))])
def test_lists_are_no_labels(kind: Any, tmp_path: Path) -> None:
    """The message names the column."""
    spec = saved(tmp_path / "set", train=table([[0, 1], [1]] * 5, kind))
    with pytest.raises(ValueError, match=r"column 'label' holds lists, not one class for each image; .*--label-column"):
        load_splits(DataSource(spec=spec, label_column="label"))


def test_missing_labels_are_a_sentence(tmp_path: Path) -> None:
    """Of classes, of texts and of numbers."""
    for place, (kind, labels) in enumerate(
        [
            (datasets.ClassLabel(names=["a", "b"]), [0, 1, None]),
            (datasets.Value("string"), ["a", "b", None]),
            (datasets.Value("float64"), [0.0, 1.0, None]),
        ]
    ):
        spec = saved(tmp_path / str(place), train=table(labels, kind))
        with pytest.raises(ValueError, match=r"1 of 3 training labels .*the first is None, of image 2\. Is the split"):
            load_splits(DataSource(spec=spec, label_column="label"))


def test_an_empty_split_is_a_sentence(tmp_path: Path) -> None:
    """Of validation, of training, and with no types at all."""
    full = named(ORDERS[0], COUNTS)
    for place, empty in enumerate((full.select([]), datasets.Dataset.from_dict({"image": [], "label": []}))):
        spec = parquet(tmp_path / str(place), train=full, validation=empty)
        for load in (load_splits, load_test_split):
            with pytest.raises(ValueError, match="has no validation images: the split is empty"):
                load(spec)
        spec = parquet(tmp_path / f"{place} training", train=empty, validation=full)
        assert classes_of(load_test_split(spec)) == COUNTS
        with pytest.raises(ValueError, match="has no training images: the split is empty"):
            load_splits(spec)


def test_empty_cells_are_counted_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither bytes nor a path, or no cell at all."""
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    cells: list[Any] = [{"bytes": (tmp_path / "x.png").read_bytes(), "path": None}] * 10
    cells[3], cells[7] = {"bytes": None, "path": None}, None
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
    rows = pa.table({"image": cells, "label": [0, 1] * 5}, schema=kinds.arrow_schema)
    spec = str(tmp_path / "set")
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
        pq.write_table(rows, tmp_path / "set" / split / "0000.parquet")
    training, _ = load_splits(spec)
    assert [(p.index, p.reason) for *_, p in training.read(range(10)) if p] == [
        (3, "no image is stored (the cell is empty)"),
        (7, "no image is stored (the cell is empty)"),
    ]
    assert training.names(range(10))[3:8:4] == ["3", "7"]
    assert len(training.read_or_next([3, 7])) == 2
    assert check_data.main(["--data", spec]) == 1
    assert "training image 7 7: no image is stored" in capsys.readouterr().out


def test_a_file_of_names_in_another_order_than_the_columns(tmp_path: Path) -> None:
    """The same names are matched; other names stand for the labels in order; a mixture is refused."""
    spec = saved(tmp_path / "set", train=named(ORDERS[0], COUNTS), test=named(ORDERS[1], COUNTS))
    file = tmp_path / "names.txt"
    for names, expected in (
        ("cat\nbee\nant\ndog", {"cat": 5, "bee": 4, "ant": 3, "dog": 0}),
        ("x\ny\nz", {"x": 3, "y": 4, "z": 5}),
    ):
        file.write_text(names)
        for split in load_splits(DataSource(spec=spec, class_names=file)):
            assert classes_of(split) == expected
    file.write_text("bee\nant\nz")
    with pytest.raises(ValueError, match=r"both name 'ant', 'bee', in different orders, and the file lacks 'cat'"):
        load_splits(DataSource(spec=spec, class_names=file))


def test_other_columns_of_the_same_kind_are_said(tmp_path: Path) -> None:
    """The first is taken, as CIFAR-100's fine labels."""
    rows = named(ORDERS[0], {"ant": 5, "bee": 5, "cat": 5})
    kind = datasets.ClassLabel(names=["insect", "mammal"])
    rows = rows.add_column("coarse", [0] * 10 + [1] * 5, feature=kind)
    training, _ = load_splits(saved(tmp_path / "set", train=rows))
    assert "the column 'label' is taken, not 'coarse' (--label-column)" in training.notes


def test_splits_of_other_names_are_said(tmp_path: Path) -> None:
    """A saved set's "dev" is not taken for anything, nor left out in silence."""
    rows = named(ORDERS[0], {"ant": 5, "bee": 5, "cat": 5})
    training, _ = load_splits(saved(tmp_path / "set", train=rows, dev=rows))
    assert any("other splits, as 'dev', are ignored (--validation-split)" in note for note in training.notes)
