"""The check of a data set with boxes: what is counted, what is named, and the code at the end."""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recipes.data.box_splits import load_all_box_splits, load_box_splits
from recipes.data.boxes import kind_of_reason
from recipes.data.check_data import check
from recipes.data.options import DataSource, add_data_options, data_arguments, data_source
from tests.recipes.box_sets import WNIDS, ilsvrc, objects, write
from tests.recipes.commands import command, run, succeed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of ILSVRC with a bad box beside a good one, two bad images in training, and one in validation."""
    root = ilsvrc(tmp_path / "ILSVRC", training=6)
    training = root / "Annotations" / "CLS-LOC" / "train" / WNIDS[0]
    good, bad = (WNIDS[0], (0, 0, 9, 9)), (WNIDS[0], (30, 0, 10, 9))
    write(training / f"{WNIDS[0]}_0.xml", objects(good, bad, good))
    write(training / f"{WNIDS[0]}_2.xml", objects(bad, (WNIDS[0], (90, 90, 99, 99))))
    write(training / f"{WNIDS[0]}_4.xml", "")
    (root / "Data" / "CLS-LOC" / "train" / WNIDS[1] / f"{WNIDS[1]}_0.JPEG").write_bytes(b"")
    (root / "Annotations" / "CLS-LOC" / "val" / "ILSVRC2012_val_00000003.xml").unlink()
    return root


def test_boxes_are_counted_and_the_bad_ones_named(folder: Path) -> None:
    """Every image is usable, undecodable or without a usable box; every bad box has a line of its own."""
    training, validation = load_all_box_splits(str(folder))
    report, problems = check(training, workers=0)
    assert report["boxes"] == 2 + 2  # two beside the bad one; one each of the second class's that can be decoded
    assert report["images"] == 12 == 1 + 2 + report["cannot_be_decoded"] + report["without_a_usable_box"]
    assert report["cannot_be_decoded"] == 1
    assert report["without_a_usable_box_because"] == {
        "no annotation": 6,
        "reversed box": 1,
        "unreadable annotation": 1,
    }
    assert (report["bad_boxes"], report["bad_boxes_because"]) == (3, {"reversed box": 2, "box outside the image": 1})
    assert [(problem.index, Path(problem.name).stem[-2:], kind_of_reason(problem.reason)) for problem in problems] == [
        (0, "_0", "reversed box"),
        (2, "_2", "reversed box"),
        (2, "_2", "box outside the image"),
        (4, "_4", "unreadable annotation"),
        (6, "_0", "unreadable annotation"),
    ]
    assert problems[-1].reason == "the file is empty (0 bytes)"
    report, problems = check(validation, workers=2)
    assert (report["without_a_class"], report["without_a_usable_box_because"]) == (1, {"no annotation": 1})
    assert [problem.reason for problem in problems] == ["no annotation"]  # of a validation image it is bad


def test_what_is_left_out_and_what_is_used_are_all(folder: Path) -> None:
    """By their indices."""
    every = load_all_box_splits(str(folder))[0]
    training, _, left_out = load_box_splits(str(folder))
    used = [every.names(range(len(every))).index(name) for name in training.names(range(len(training)))]
    assert sorted([*used, *(problem.index for problem in left_out)]) == list(range(len(every)))


def test_the_command_ends_with_code_1_only_if_something_is_bad(folder: Path, tmp_path: Path) -> None:
    """Training images of ILSVRC without an annotation are not."""
    fine = ilsvrc(tmp_path / "fine")
    done = succeed(command("check_data", "--data", fine, "--boxes"))
    assert "without a usable box 4, without a usable box because (no annotation: 4), bad boxes 0" in done.stdout
    done = run(command("check_data", "--data", folder, "--boxes", "--output", tmp_path / "report"))
    assert done.returncode == 1
    assert "training image 0" in done.stdout
    with (tmp_path / "report" / "bad_images.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 6
    report = json.loads((tmp_path / "report" / "data.json").read_text())
    assert report["training"]["bad_boxes_because"] == {"reversed box": 2, "box outside the image": 1}
    done = run(command("check_data", "--data", "digits", "--boxes"))
    assert done.returncode == 1
    assert "error: data set 'digits' has no column of boxes (--box-column); it has image (Image)" in done.stderr


@pytest.mark.parametrize("options", [["--box-column", "objects.bbox", "--box-format", "xywh"], []])
def test_options_for_boxes_are_passed_on(options: Sequence[str]) -> None:
    """To the commands that another one starts."""
    parser = argparse.ArgumentParser()
    add_data_options(parser)
    source = data_source(parser.parse_args(["--data", "set", *options]))
    assert source == (
        DataSource(spec="set", box_column="objects.bbox", box_format="xywh") if options else DataSource(spec="set")
    )
    passed_on = data_arguments(parser.parse_args(["--data", "set", *options]))
    assert data_source(parser.parse_args(passed_on)) == source


def test_sizes_are_for_columns(folder: Path) -> None:
    """XML has corners; to say otherwise is an error rather than ignored."""
    with pytest.raises(ValueError, match=r"--box-format xywh is for a column; the annotations of .* have corners"):
        load_all_box_splits(DataSource(spec=str(folder), box_format="xywh"))
