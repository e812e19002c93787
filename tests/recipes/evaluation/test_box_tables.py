"""Tables 8 and 9 from results, against figures typed from the paper a second time."""

import json
from pathlib import Path
from typing import Any

import pytest

from recipes.evaluation.tables import read, tables
from tests.recipes.commands import command, run, succeed
from vgg_zoo.paper import PAPER_BOXES, PaperBoxResult
from vgg_zoo.results import RESULTS, described

TYPED = {
    ("scr", "fc", 384, (384,), 1): 36.4,
    ("pcr", "fc", 384, (384,), 1): 34.3,
    ("pcr", "all", 384, (384,), 1): 33.1,
    ("pcr", "all", 256, (256,), 2): 29.5,
    ("pcr", "all", 384, (384,), 2): 28.2,
    ("pcr", "all", 384, (352, 384), 2): 27.5,
}


def as_ours(folder: Path, row: PaperBoxResult, images: int = 50_000, **changes: Any) -> Path:
    """The paper's row, as if it were a result of ours."""
    folder.mkdir(parents=True)
    nets = [
        {
            "model": f"runs/{net.regression}_{net.train_scales[0]}",
            "configuration": net.configuration,
            "regression": net.regression,
            "trainable": net.trainable,
            "train_scales": list(net.train_scales),
            "scales": list(net.scales),
        }
        for net in row.nets
    ]
    name = {1: "box_error", 2: "error"}[row.protocol]
    error = row.error / 100
    content: dict[str, Any] = {
        "protocol": row.protocol,
        "nets": nets,
        "classifiers": [] if row.protocol == 1 else [{"model": "vgg_e.oxford_in1k"}],
        "data": {"spec": "ILSVRC", "split": "val", "classes": 1000, "images": images, "unusable_images": 3},
        "results": {
            name: error,
            f"{name}_interval": [error - 0.01, error + 0.01],
            "class_error": 0.08,
            "images": images,
        },
    }
    (folder / RESULTS).write_text(
        json.dumps(described("boxes", content | {"close": 0.5, "arithmetic": "exact"} | changes))
    )
    return folder


def rendered(*folders: Path) -> str:
    """The Markdown of some folders."""
    return tables([result for result in map(read, folders) if result is not None])


def test_the_paper_has_its_rows() -> None:
    """Three of Table 8, three of Table 9, and the fusion."""
    found = {
        (net.regression, net.trainable, *net.train_scales, net.scales, row.protocol): row.error
        for row in PAPER_BOXES
        if len(row.nets) == 1
        for net in row.nets
    }
    assert found == TYPED
    (fused,) = (row for row in PAPER_BOXES if len(row.nets) == 2)
    assert fused.error == 26.9
    assert [net.scales for net in fused.nets] == [(256,), (352, 384)]


def test_the_papers_own_figures_differ_from_the_paper_by_nothing(tmp_path: Path) -> None:
    """Every row stands in its table, beside its figure."""
    folders = [as_ours(tmp_path / str(place), row) for place, row in enumerate(PAPER_BOXES)]
    text = rendered(*folders)
    first, second = text.split("## Table 9")
    assert "## Table 8" in first
    for (regression, layers, *_, protocol), error in TYPED.items():
        part = first if protocol == 1 else second
        line = next(line for line in part.splitlines() if f"| {error} | +0.0 |" in line)
        assert regression.upper() in line
        assert ("1st and 2nd FC" in line) == (layers == "fc")
    assert "| 256 + 384 | 256 + 352, 384 |" in second
    assert "`vgg_e.oxford_in1k`" in second
    assert "50,000, 3 unusable" in first


def test_other_images_are_not_compared(tmp_path: Path) -> None:
    """The paper's figure stands there, a difference does not."""
    text = rendered(as_ours(tmp_path / "a", PAPER_BOXES[0], images=400))
    assert "| 36.4 | – |" in text
    assert "no comparison" in text


def test_boxes_and_classes_stand_in_one_text(tmp_path: Path) -> None:
    """The command takes both kinds of folders, and names a damaged one."""
    good = as_ours(tmp_path / "a", PAPER_BOXES[3])
    done = succeed(command("tables", good, "--output", tmp_path / "out"))
    assert "## Table 9" in done.stdout
    assert (tmp_path / "out" / "tables.md").read_text() in done.stdout + "\n"
    bad = as_ours(tmp_path / "b", PAPER_BOXES[3], results={"images": 5})
    done = run(command("tables", bad))
    assert done.returncode == 1
    assert "is not what recipes/localise.py writes" in done.stderr


@pytest.mark.parametrize("key", ["protocol", "data"])
def test_something_else_is_refused(key: str, tmp_path: Path) -> None:
    """A results.json that lacks what both kinds have."""
    folder = as_ours(tmp_path / "a", PAPER_BOXES[0])
    content = json.loads((folder / "results.json").read_text())
    del content[key]
    (folder / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"is not what recipes/localise.py writes: it lacks {key}"):
        read(folder)
