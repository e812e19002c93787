"""Images with boxes: which boxes are usable, and that every other one is named and counted."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from recipes.box_checks import kind_of
from recipes.boxed_images import load_box_splits, load_box_test_split
from recipes.data import DataSource


def saved(folder: Path, boxes: Sequence[Any], name: str = "bbox", labels: Sequence[int] | None = None) -> str:
    """A data set of `save_to_disk`: images of 40 × 30 pixels of two classes in turn, and a column of boxes."""
    count = len(boxes)
    rows = datasets.Dataset.from_dict({name: list(boxes)})
    features = datasets.Features(
        rows.features | {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])}
    )
    columns = {
        "image": [Image.new("RGB", (40, 30), (place, 0, 0)) for place in range(count)],
        "label": list(labels or [place % 2 for place in range(count)]),
        name: list(boxes),
    }
    rows = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": rows, "val": rows}).save_to_disk(folder)
    return str(folder)


def usable(spec: str, **options: Any) -> list[list[list[float]]]:
    """The boxes of every validation image."""
    split = load_box_splits(DataSource(spec=spec, **options))[1]
    return [boxed.boxes.tolist() for boxed in split.read_boxed(range(len(split)))]


def problems(spec: str, **options: Any) -> list[str | None]:
    """Why each validation image has no usable box."""
    split = load_box_splits(DataSource(spec=spec, **options))[1]
    return [boxed.problem and boxed.problem.reason for boxed in split.read_boxed(range(len(split)))]


def test_a_box_or_several_in_any_form(tmp_path: Path) -> None:
    """One box, a list of boxes, a struct with a field of boxes, a list of structs; corners or sizes."""
    assert usable(saved(tmp_path / "one", [[1, 2, 30, 20]] * 2)) == [[[1, 2, 30, 20]]] * 2
    assert usable(saved(tmp_path / "several", [[[1, 2, 30, 20], [0, 0, 5, 5]]] * 2, "boxes"))[0][1] == [0, 0, 5, 5]
    struct = saved(tmp_path / "struct", [{"category": [1], "bbox": [[1, 2, 30, 20]]}] * 2, "objects")
    assert usable(struct) == usable(struct, box_column="objects.bbox") == usable(struct, box_column="objects")
    structs = saved(tmp_path / "structs", [[{"category": 1, "bbox": [1, 2, 30, 20]}]] * 2, "objects")
    assert usable(structs) == usable(struct) == [[[1, 2, 30, 20]]] * 2
    assert usable(structs, box_format="xywh") == [[[1, 2, 31, 22]]] * 2
    assert usable(saved(tmp_path / "other", [[1, 2, 30, 20]] * 2, "where"), box_column="where") == usable(structs)


def test_reading_gives_image_class_and_boxes(tmp_path: Path) -> None:
    """And what works for labelled images goes on working."""
    training, validation, left_out = load_box_splits(saved(tmp_path / "set", [[1.5, 2, 300, 20]] * 4))
    assert (len(training), len(validation), left_out) == (4, 4, [])
    boxed = training.read_boxed([3])[0]
    assert boxed.pixels is not None
    assert boxed.pixels.shape == (30, 40, 3)
    assert (boxed.label, boxed.problem) == (1, None)
    assert boxed.boxes.dtype == np.float64
    assert boxed.boxes.tolist() == [[1.5, 2, 40, 20]]  # cut to the image
    assert training.class_names == ("ant", "bee")
    assert training.names(range(2)) == ["0", "1"]
    assert training.read([3])[0][1:] == (1, None)
    assert len(load_box_test_split(str(tmp_path / "set"))) == 4


BAD = {
    "no box": [[], None],
    "box coordinate is no number": [[1, 2, math.nan, 4], [1, math.inf, 3, 4], [1.0, None, 3.0, 4.0]],
    "box is not 4 numbers": [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8]],
    "reversed box": [[30, 2, 10, 20], [1, 20, 30, 2]],
    "empty box": [[10, 2, 10, 20], [1, 5, 30, 5]],
    "box less than a pixel": [[0.1, 0.2, 0.6, 0.9], [1, 1, 30, 1.5]],
    "box outside the image": [[50, 2, 90, 20], [-9, -9, 0.5, 20], [1e308, 1, 1.2e308, 20], [0, -9, 20, 0]],
}


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_bad_box_is_named(tmp_path: Path, kind: str) -> None:
    """With split, index and reason; what the annotation tells alone is left out of the training."""
    spec = saved(tmp_path / "set", [[1.0, 2.0, 30.0, 20.0], *BAD[kind]])
    training, validation, left_out = load_box_splits(spec)
    found = [boxed.problem for boxed in validation.read_boxed(range(len(validation)))]
    assert found[0] is None
    assert [(p.split, p.index, p.name, kind_of(p.reason)) for p in found[1:] if p] == [
        ("validation", place + 1, str(place + 1), kind) for place in range(len(BAD[kind]))
    ]
    assert all(len(boxed.boxes) == (boxed.problem is None) for boxed in validation.read_boxed(range(len(validation))))
    assert len(training) + len(left_out) == len(BAD[kind]) + 1
    if kind != "box outside the image":
        assert [(p.split, p.index, kind_of(p.reason)) for p in left_out] == [
            ("training", place + 1, kind) for place in range(len(BAD[kind]))
        ]
