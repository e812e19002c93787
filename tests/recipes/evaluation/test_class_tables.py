"""The paper's tables from results, against figures typed from the paper a second time."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from recipes.evaluation.error_rates import wilson_interval
from recipes.evaluation.tables import read, tables
from tests.recipes.commands import check_written, command, run, succeed
from vgg_zoo.paper import PAPER, PaperNet, PaperResult
from vgg_zoo.results import RESULTS, VERSION, described


def results_file(folder: Path, nets: list[dict[str, Any]], top1: float, top5: float, **changes: Any) -> Path:
    """A folder with what an evaluation leaves."""
    folder.mkdir(parents=True)
    data = {"spec": "imagenet", "split": "validation", "classes": 1000, "unreadable_images": 0} | changes
    images = data.get("images", 50_000)
    rates = {"top1": top1, "top5": top5, "images": images}
    rates |= {f"{name}_interval": wilson_interval(rates[name], images) for name in ("top1", "top5")}
    content = {"nets": nets, "data": data, "outputs_of_classes": None, "results": rates}
    (folder / RESULTS).write_text(json.dumps(described("classes", content)))
    return folder


def net(configuration: str, trained: list[int] | None, scales: list[int], **changes: Any) -> dict[str, Any]:
    """A net's description."""
    settings = {"protocol": "dense", "flip": True, "softmax_first": False, "ceil_mode": False} | changes
    return {
        "model": f"runs/{configuration}",
        "configuration": configuration,
        "train_scales": trained,
        "scales": scales,
        **settings,
    }


def as_ours(folder: Path, row: PaperResult) -> Path:
    """The paper's row, as if it were a result of ours."""
    nets = [net(it.configuration, list(it.train_scales), list(it.scales), protocol=it.protocol) for it in row.nets]
    return results_file(folder, nets, row.top1 / 100, row.top5 / 100)


def rendered(*folders: Path) -> str:
    """The Markdown of some folders."""
    found = [read(folder) for folder in folders]
    return tables([result for result in found if result is not None])


def test_the_paper_has_its_rows() -> None:
    """Twelve rows of Table 3, ten of Table 4, four more of Table 5, four of Table 6; some of them typed again."""
    of = {
        "3": [row for row in PAPER if len(row.nets) == 1 and len(row.nets[0].scales) == 1],
        "4": [row for row in PAPER if len(row.nets) == 1 and row.nets[0].protocol == "dense"],
        "6": [row for row in PAPER if len(row.nets) > 1],
    }
    assert (len(of["3"]), len(of["4"]) - len(of["3"]), len(of["6"]), len(PAPER)) == (12, 10, 4, 30)
    typed = {
        PaperNet("A-LRN", (256,), (256,)): (29.7, 10.5),
        PaperNet("C", (256, 512), (384,)): (27.3, 8.8),
        PaperNet("B", (256,), (224, 256, 288)): (28.2, 9.6),
        PaperNet("E", (384,), (352, 384, 416)): (26.7, 8.6),
        PaperNet("E", (256, 512), (256, 384, 512), "multi_crop_and_dense"): (24.4, 7.1),
    }
    found = {row.nets[0]: (row.top1, row.top5) for row in PAPER if len(row.nets) == 1}
    assert all(found[key] == value for key, value in typed.items())
    assert sorted((len(row.nets), row.top1, row.top5) for row in of["6"]) == [
        (2, 23.7, 6.8),
        (2, 23.9, 7.2),
        (2, 24.0, 7.1),
        (7, 24.7, 7.5),
    ]


def test_the_papers_own_figures_differ_from_the_paper_by_nothing(tmp_path: Path) -> None:
    """Every row finds its figure, whatever the order of the nets of a fusion."""
    for place, row in enumerate(PAPER):
        turned = PaperResult(tuple(reversed(row.nets)), row.top1, row.top5)
        (line,) = [line for line in rendered(as_ours(tmp_path / str(place), turned)).splitlines() if "runs/" in line]
        assert f"{row.top1:.1f} / {row.top5:.1f}" in line
        if len(row.nets) > 1 or row.nets[0].protocol == "dense":
            assert "| +0.0 / +0.0 |" in line


def test_rows_stand_in_their_tables_in_the_papers_order(tmp_path: Path) -> None:
    """D before E, S = 256 before the range; intervals, differences and the settings that are not the paper's."""
    folders = [
        results_file(tmp_path / "e", [net("E", [256, 512], [384])], 0.265, 0.085),
        results_file(tmp_path / "d2", [net("D", [256, 512], [384], softmax_first=True)], 0.256, 0.081),
        results_file(tmp_path / "d1", [net("D", [256], [256])], 0.26, 0.09),
        results_file(tmp_path / "tv", [net("D", None, [256])], 0.27, 0.09),
    ]
    text = rendered(*folders)
    lines = [line for line in text.splitlines() if "runs/" in line]
    assert text.startswith("# imagenet, validation\n\n## Table 3: one test scale\n")
    assert "Table 4" not in text
    assert lines == [
        "| D `runs/D` | ? | 256 | dense | 27.0 (26.6 to 27.4) | 9.0 (8.8 to 9.3) | 50,000 | – | – |",
        "| D `runs/D` | 256 | 256 | dense | 26.0 (25.6 to 26.4) | 9.0 (8.8 to 9.3) | 50,000 | 27.0 / 8.8 | "
        "-1.0 / +0.2 |",
        "| D `runs/D` | [256; 512] | 384 | dense (soft-max before the mean over positions) | 25.6 (25.2 to 26.0) | "
        "8.1 (7.9 to 8.3) | 50,000 | 25.6 / 8.1 | +0.0 / +0.0 |",
        "| E `runs/E` | [256; 512] | 384 | dense | 26.5 (26.1 to 26.9) | 8.5 (8.3 to 8.7) | 50,000 | 25.5 / 8.0 | "
        "+1.0 / +0.5 |",
    ]


def test_protocols_stand_side_by_side(tmp_path: Path) -> None:
    """Table 5: the dense column comes from the dense result of the same net and scales."""
    jitter = ([256, 512], [256, 384, 512])
    text = rendered(
        results_file(tmp_path / "dense", [net("D", *jitter)], 0.25, 0.08),
        results_file(tmp_path / "crops", [net("D", *jitter, protocol="multi_crop")], 0.247, 0.076),
        results_file(tmp_path / "alone", [net("E", *jitter)], 0.25, 0.08),
    )
    table = text.partition("## Table 5")[2]
    assert "| D `runs/D` | [256; 512] | 256, 384, 512 | 25.0 / 8.0, 24.8 / 7.5 | 24.7 / 7.6, 24.6 / 7.5 | – |" in table
    assert "| E" not in table


def test_other_images_are_no_comparison(tmp_path: Path) -> None:
    """Each data set has its tables; unreadable images show; no difference from the paper where it means nothing."""
    text = rendered(
        results_file(tmp_path / "a", [net("A", [256], [256])], 0.3, 0.1),
        results_file(
            tmp_path / "b", [net("A", [256], [256])], 0.1, 0.0, spec="mine", images=300, classes=9, unreadable_images=2
        ),
    )
    first, second = text.split("# mine, validation")
    assert "+0.4 / -0.4" in first
    assert "no comparison" not in first
    assert "| 300, 2 unreadable | 29.6 / 10.4 | – |" in second
    assert "the paper's figures are no comparison" in second


def test_the_command_writes_markdown_and_a_picture(tmp_path: Path) -> None:
    """Of all rows of the paper; images without labels are named and left out."""
    folders = [as_ours(tmp_path / "runs" / str(place), row) for place, row in enumerate(PAPER)]
    unlabelled = results_file(tmp_path / "unlabelled", [net("A", [256], [256])], 0.3, 0.1)
    content = json.loads((unlabelled / "results.json").read_text())
    (unlabelled / "results.json").write_text(json.dumps(content | {"results": None}))
    done = succeed(command("tables", *folders, unlabelled, "--output", tmp_path / "out"))
    assert "without labels, and left out" in done.stderr
    check_written(done.stderr, tmp_path / "out")
    assert done.stdout.strip() == (tmp_path / "out" / "tables.md").read_text().strip()
    with Image.open(tmp_path / "out" / "tables.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no results.json"),
        ("{", "is not JSON"),
        ('{"nets": [{}], "data": {}, "outputs_of_classes": null, "results": {}}', "KeyError"),
    ],
)
def test_what_is_no_result_is_told(tmp_path: Path, content: str | None, message: str) -> None:
    """The file is named, and what to do."""
    if content is not None:
        version = {"version": VERSION, "kind": "classes"}
        (tmp_path / RESULTS).write_text(content if content == "{" else json.dumps(version | json.loads(content)))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_a_mistake_ends_in_one_line(tmp_path: Path) -> None:
    """Nothing is written."""
    done = run(command("tables", tmp_path, "--output", tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()
