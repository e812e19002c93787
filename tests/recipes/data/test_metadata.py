"""Folders with a table beside the images, as `datasets` reads them, and what they lack, by name."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipes.data.options import DataSource
from recipes.data.splits import load_splits, load_test_split
from tests.recipes.data.folders import classes_of, images

ROWS = [{"file_name": f"{place}.png", "kind": "ab"[place % 2], "number": place} for place in range(6)]


def write(file: Path, rows: list[dict[str, object]]) -> None:
    """A table of the kind that its name tells."""
    if file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    elif file.suffix == ".csv":
        file.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_table_is_read_as_datasets_reads_it(ending: str, tmp_path: Path) -> None:
    """The same rows and classes; `datasets` reads the JSON, because it leaves a CSV file open."""
    for split in ("train", "validation"):
        images(tmp_path, split, 6)
        write(tmp_path / split / f"metadata.{ending}", ROWS)
    source = DataSource(spec=str(tmp_path), label_column="kind")
    training, validation = load_splits(source)
    assert classes_of(training) == classes_of(validation) == {"a": 3, "b": 3}
    (tmp_path / "train" / f"metadata.{ending}").unlink()
    write(tmp_path / "train" / "metadata.jsonl", ROWS)
    expected = datasets.load_dataset(str(tmp_path / "train"), split="train")
    rows = expected.cast_column("image", datasets.Image(decode=False))
    assert training.names(range(6)) == [cell["path"] for cell in rows["image"]]
    assert [training.class_names[label] for label in training.rows["label"]] == rows["kind"][:]
    assert training.notes == ()


def test_what_has_no_line_and_what_has_no_image_is_named(tmp_path: Path) -> None:
    """The one is ignored and said; the other stays as a problem."""
    images(tmp_path, "train", 7)
    images(tmp_path, "val", 6)
    write(tmp_path / "train" / "metadata.csv", [*ROWS, {"file_name": "lost.png", "kind": "a", "number": 7}])
    write(tmp_path / "val" / "metadata.csv", ROWS)
    training, _ = load_splits(DataSource(spec=str(tmp_path), label_column="kind"))
    assert any("1 image without a line in metadata.csv: '6.png'" in note for note in training.notes)
    assert any("1 line without the image: 'lost.png'" in note for note in training.notes)
    assert [problem.index for *_, problem in training.read(range(7)) if problem] == [6]


def test_names_of_digits_and_classes_called_na(tmp_path: Path) -> None:
    """CSV does not tell texts from numbers; names are texts."""
    images(tmp_path, "train", 4, "000{}")
    rows = [{"file_name": f"000{place}", "kind": ("NA", "null")[place % 2], "number": 1} for place in range(4)]
    write(tmp_path / "train" / "metadata.csv", rows)
    split = load_test_split(DataSource(spec=str(tmp_path), label_column="kind", validation_split="train"))
    assert classes_of(split) == {"NA": 2, "null": 2}
    assert all(problem is None for *_, problem in split.read(range(4)))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"name": "0.png", "kind": "a"}], "has no column 'file_name'; it has name, kind"),
        ([{"file_name": "../0.png", "kind": "a"}], r"names '\.\./0\.png', a path out of its folder"),
        ([{"file_name": "/etc/passwd", "kind": "a"}], "names '/etc/passwd', a path out of its folder"),
    ],
)
def test_tables_of_another_form_are_refused(rows: list[dict[str, object]], words: str, tmp_path: Path) -> None:
    """By name."""
    images(tmp_path, "train", 2)
    write(tmp_path / "train" / "metadata.csv", rows)
    with pytest.raises(ValueError, match=words):
        load_splits(DataSource(spec=str(tmp_path), label_column="kind"))
