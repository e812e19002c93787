"""Images with boxes: which boxes are usable, and that every other one is named and counted."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes.data.box_columns import annotated_value
from recipes.data.box_splits import load_box_splits, load_box_test_split
from recipes.data.boxes import BadBoxError, check_corners, clip_to_image, finite, kind_of_reason, kinds
from recipes.data.options import DataSource
from recipes.data.splits import load_splits, load_test_split


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
    """And all functions of labelled images still work."""
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
    assert [(p.split, p.index, p.name, kind_of_reason(p.reason)) for p in found[1:] if p] == [
        ("validation", place + 1, str(place + 1), kind) for place in range(len(BAD[kind]))
    ]
    assert all(len(boxed.boxes) == (boxed.problem is None) for boxed in validation.read_boxed(range(len(validation))))
    assert len(training) + len(left_out) == len(BAD[kind]) + 1
    if kind != "box outside the image":
        assert [(p.split, p.index, kind_of_reason(p.reason)) for p in left_out] == [
            ("training", place + 1, kind) for place in range(len(BAD[kind]))
        ]


def test_bad_boxes_beside_good_ones_are_told(tmp_path: Path) -> None:
    """The good ones are used, and there is no problem; what checks the data hears of the others."""
    boxes = [[1, 2, 30, 20], [30, 2, 10, 20], [90, 90, 99, 99], [1, 2, 3]]
    training, _, left_out = load_box_splits(saved(tmp_path / "set", [boxes, [[1, 2, 30, 20]]]))
    assert left_out == []
    (found, bad), (_, none) = training.read_checked([0, 1])
    assert found.problem is None
    assert found.boxes.tolist() == [[1, 2, 30, 20]]
    assert bad == [
        "reversed box (left 30 > right 10)",
        "box of 3 numbers, not 4",
        "box outside the image of 40×30 pixels, (90, 90) to (99, 99)",
    ]
    assert none == []
    assert kinds([*bad, *bad[:1]]) == {"reversed box": 2, "box is not 4 numbers": 1, "box outside the image": 1}


def test_too_many_boxes_are_not_read(tmp_path: Path) -> None:
    """A limit that no image of a benchmark comes near."""
    spec = saved(tmp_path / "set", [[[1, 2, 30, 20]], [[1, 2, 30, 20]] * 10_001])
    assert problems(spec)[1] == "too many objects (10,001; at most 10,000)"


def test_texts_are_no_boxes(tmp_path: Path) -> None:
    """Even texts of numbers."""
    with pytest.raises(ValueError, match=r"none of the 2 training images has a usable box \(box is not 4 numbers: 2\)"):
        load_box_splits(saved(tmp_path / "set", ["1 2 3 4", "[1, 2, 3, 4]"]))
    with pytest.raises(ValueError, match=r"coordinate '1' is not a number\. Boxes are xyxy in pixels; --box-format"):
        load_box_splits(saved(tmp_path / "texts", [["1", "2", "3", "4"]] * 2))


def test_a_missing_column_lists_what_there_is(tmp_path: Path) -> None:
    """With the flag, and the fields of structs."""
    spec = saved(tmp_path / "set", [{"where": [1, 2, 3, 4]}] * 2, "objects")
    with pytest.raises(ValueError, match=r"no column of boxes \(--box-column\); it has .*objects \(objects\.where\)"):
        load_box_splits(spec)
    for named in ("objects.bbox", "nothing", "label.bbox"):
        with pytest.raises(ValueError, match=rf"no column of boxes '{named}' \(--box-column\); it has"):
            load_box_splits(DataSource(spec=spec, box_column=named))
    assert usable(spec, box_column="objects.where") == [[[1, 2, 3, 4]]] * 2
    with pytest.raises(ValueError, match="unknown box_format 'cxcywh'; choose from xyxy, xywh"):
        DataSource(spec=spec, box_format="cxcywh")


def test_a_folder_with_metadata_has_boxes(tmp_path: Path) -> None:
    """`datasets`' own way; the held-out fifth is that of classification. A table that is none is one clear error."""
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    lines = []
    for number in range(10):
        Image.new("RGB", (40, 30)).save(folder / f"{number}.png")
        boxes = [[1, 2, 30, 20]] if number else None
        lines.append(json.dumps({"file_name": f"{number}.png", "kind": "ab"[number % 2], "bbox": boxes}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    source = DataSource(spec=str(tmp_path / "set"), label_column="kind")
    training, held_out, left_out = load_box_splits(source)
    assert (len(training) + len(left_out), len(held_out)) == (8, 2)
    assert held_out.names(range(2)) == load_splits(source)[1].names(range(2))
    (folder / "metadata.jsonl").write_text("\n".join([*lines[:9], lines[9].replace("[[1, 2, 30, 20]]", '"1 2 3"')]))
    with pytest.raises(ValueError, match=r"cannot load the data set .*bbox"):
        load_box_splits(source)


def test_labels_of_no_class(tmp_path: Path) -> None:
    """In training the image is left out, in testing it stays; a split without any class is refused."""
    spec = saved(tmp_path / "set", [[1, 2, 30, 20]] * 3, labels=[0, -1, 1])
    training, validation, left_out = load_box_splits(spec)
    assert (len(training), len(validation)) == (2, 3)
    assert [(problem.index, problem.reason) for problem in left_out] == [(1, "no class (label -1)")]
    (boxed,) = validation.read_boxed([1])
    assert (boxed.label, len(boxed.boxes), boxed.problem.reason) == (-1, 0, "no class")
    with pytest.raises(ValueError, match="3 of 3 training labels are none of the 2 classes"):
        load_box_splits(saved(tmp_path / "none", [[1, 2, 30, 20]] * 3, labels=[-1, -1, -1]))
    with pytest.raises(ValueError, match="1 of 3 training labels"):
        load_test_split(spec)


def test_the_next_usable_image_takes_the_place(tmp_path: Path) -> None:
    """Its class and boxes too; the problem is that of the one that was asked for."""
    spec = saved(tmp_path / "set", [[1, 2, 30, 20], [50, 2, 60, 20], [99, 2, 100, 20], [5, 5, 9, 9]])
    training = load_box_splits(spec)[0]
    found, same = training.read_boxed_or_next([1, 3])
    assert found.problem is not None
    assert (found.problem.index, found.label) == (1, 1)
    assert found.boxes.tolist() == same.boxes.tolist() == [[5, 5, 9, 9]]
    assert same.problem is None
    with pytest.raises(ValueError, match="none of the 2 training images can be decoded and has a usable box"):
        load_box_splits(saved(tmp_path / "none", [[50, 2, 60, 20]] * 2))[0].read_boxed_or_next([0])


def test_boxes_of_an_image_that_is_cut_to_its_middle(tmp_path: Path) -> None:
    """They move with it, also where the file lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # its right side is up
    folder = tmp_path / "set" / "train" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (400, 10)).save(folder / "0.png")
    Image.new("RGB", (10, 400)).save(folder / "1.jpg", exif=exif)
    Image.new("RGB", (160, 10)).save(folder / "2.png")
    Image.new("RGB", (10, 400)).save(folder / "3.png")
    boxes = [[100, 0, 200, 10], [100, 0, 200, 10], [100, 0, 150, 10], [0, 100, 10, 200]]
    names = ("a/0.png", "a/1.jpg", "a/2.png", "a/3.png")
    lines = [json.dumps({"file_name": name, "label": "a", "bbox": box}) for name, box in zip(names, boxes, strict=True)]
    (tmp_path / "set" / "train" / "metadata.jsonl").write_text("\n".join(lines))
    source = DataSource(spec=str(tmp_path / "set"), label_column="label", validation_split="train")
    split = load_box_splits(source)[1]
    found = {
        Path(name).name: boxed for name, boxed in zip(split.names(range(4)), split.read_boxed(range(4)), strict=True)
    }
    assert found["0.png"].boxes.tolist() == found["1.jpg"].boxes.tolist() == [[0, 0, 80, 10]]
    assert found["2.png"].boxes.tolist() == [[100, 0, 150, 10]]
    assert found["3.png"].boxes.tolist() == [[0, 0, 10, 80]]


NUMBERS = st.one_of(st.floats(-100, 200), st.integers(-100, 200), st.floats())


@settings(deadline=None)
@given(box=st.lists(NUMBERS, min_size=4, max_size=4), height=st.integers(1, 99), width=st.integers(1, 99))
@example(box=[1e-20, 1e-20, 1, 1], height=1, width=1)  # a pixel up to rounding, which `right - 1` would lose
def test_a_box_is_cut_to_the_image_or_refused(box: list[float], height: int, width: int) -> None:
    """Whatever the numbers: a part that is a pixel each way, inside both the box and the image, or one reason."""
    try:
        corners = [finite(value) for value in box]
        check_corners(corners)
        left, top, right, bottom = clip_to_image(corners, height, width)
    except BadBoxError as error:
        reason = str(error)
    else:
        assert min(right - left, bottom - top) >= 1
        assert 0 <= max(left, box[0]) == left < right == min(right, box[2]) <= width
        assert 0 <= max(top, box[1]) == top < bottom == min(bottom, box[3]) <= height
        return
    assert kind_of_reason(reason) in BAD
    large = all(map(math.isfinite, box)) and box[2] - box[0] >= 1 and box[3] - box[1] >= 1
    assert not (large and min(box[0], box[1]) >= 0 and box[2] <= width and box[3] <= height)


VALUES = st.recursive(
    st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=5), st.booleans()),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None)
@given(value=VALUES, sizes=st.booleans())
def test_whatever_a_column_holds_is_boxes_or_reasons(value: Any, sizes: bool) -> None:
    """Nothing raises; an image has boxes or a problem, and every reason has a kind."""
    boxes, bad, problem = annotated_value(value, sizes)
    assert bool(boxes) == (problem == "")
    assert all(len(box) == 4 and all(map(math.isfinite, box)) for box in boxes)
    assert all(kind_of_reason(reason) != "unreadable annotation" for reason in [*bad, problem] if reason)
