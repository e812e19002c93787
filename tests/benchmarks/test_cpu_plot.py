"""The plot of speeds: what has a bar, what is said, and that README's are drawn from their tables."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import cpu_plot
from benchmarks.cpu_plot import bars_of, draw, plot
from benchmarks.cpu_table import Result, csv_lines, milliseconds, read_csv, rows
from benchmarks.nets import NETS
from benchmarks.timing import write
from tests.benchmarks.test_cpu import result
from tests.pictures import drawn
from vgg_zoo.style import DARK, THEMES

RESULTS = Path(cpu_plot.__file__).parent / "results"
PEERS = {"timm": 0.4, "ONNX Runtime": 0.2, "OpenVINO": 0.21, "ONNX Runtime, defaults": 0.18, "torch.compile": 0.3}


def some(**changes: object) -> list[Result]:
    """Of ours and peers, in both kinds of arithmetic."""
    seconds = {"ours": 0.1, "ours, bf16": 0.05, "ours, exact": 0.3, **PEERS, "OpenVINO, defaults": 0.06}
    return [result(name, each, **changes) for name, each in seconds.items()]


def test_who_has_a_bar() -> None:
    """Ours, three peers and timm of each arithmetic, the fastest on top; not the plain net."""
    (found,) = rows(some())
    assert bars_of(found) == [
        ("in float32", None),
        ("ours", 0.1),
        ("ONNX Runtime, defaults", 0.18),
        ("ONNX Runtime", 0.2),
        ("OpenVINO", 0.21),
        ("timm", 0.4),
        ("may compute in bfloat16", None),
        ("ours, bf16", 0.05),
        ("OpenVINO, defaults", 0.06),
    ]
    (found,) = rows([result("timm", 0.2)])
    assert bars_of(found) == [("in float32", None), ("timm", 0.2)]


@pytest.mark.parametrize("panels", [1, 2, 4, 9])
def test_nothing_overlaps_and_every_bar_has_its_milliseconds(panels: int) -> None:
    """One shape or all of them, also where an implementation lacks a net."""
    shapes = [(net, side, batch) for net in NETS for side in (224, 384, 512) for batch in (1, 8)][:panels]
    shown = [each for net, side, batch in shapes for each in some(net=net, side=side, batch=batch)]
    found = drawn(partial(draw, shown[:-1]))
    found.check()
    bars = [bar for of_panel in rows(shown[:-1]) for bar in bars_of(of_panel)]
    assert sum(found.words.count(name) for name in {"ours", "ours, bf16"}) == 2 * panels
    for seconds in {seconds for _, seconds in bars if seconds is not None}:
        assert found.words.count(milliseconds(seconds)) == [seconds for _, seconds in bars].count(seconds)


def test_one_situation_is_shown() -> None:
    """Warm, else the first that there is; the title says which."""
    assert "Milliseconds a pass, warm" in drawn(partial(draw, some())).words


def test_both_grounds_are_written(tmp_path: Path) -> None:
    """From the results, and again from their CSV by the command."""
    results = [*some(situation="busy"), *some(situation="alternating", machine="another machine, with, commas")]
    paths = plot(results, tmp_path / "cpu.png")
    assert [path.name for path in paths] == ["cpu.png", "cpu_dark.png"]
    before = [path.read_bytes() for path in paths]
    assert before[0] != before[1]
    write(tmp_path / "cpu", [{"a": "b"}], "note", csv_lines(results))
    for path in paths:
        path.unlink()
    assert cpu_plot.main([str(tmp_path / "cpu.csv")]) == 0
    assert [path.read_bytes() for path in paths] == before


def test_what_cannot_be_drawn_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, and one without results."""
    with pytest.raises(SystemExit, match="2"):
        cpu_plot.main([str(tmp_path / "no.csv")])
    assert "there is no file" in capsys.readouterr().err
    write(tmp_path / "empty", [{"a": "b"}], "note", csv_lines(some()))
    head = (tmp_path / "empty.csv").read_text().splitlines()[0]
    (tmp_path / "empty.csv").write_text(head + "\n")
    assert cpu_plot.main([str(tmp_path / "empty.csv")]) == 1
    assert "empty.csv has no results" in capsys.readouterr().err
    assert not (tmp_path / "empty.png").exists()


@pytest.mark.parametrize("file", sorted(path.name for path in RESULTS.glob("*.png") if "_dark" not in path.name))
def test_the_plots_are_there_on_both_grounds(file: str) -> None:
    """Of one size, drawn of results that still are in the CSV, and no larger than a page wants."""
    pictures = [
        np.asarray(Image.open((RESULTS / file).with_stem(Path(file).stem + suffix)).convert("RGB")) for suffix in THEMES
    ]
    assert pictures[0].shape == pictures[1].shape
    assert [picture[0, 0].tolist() for picture in pictures] == [
        list(bytes.fromhex(theme.ground[1:])) for theme in THEMES.values()
    ]
    found = drawn(partial(draw, cpu_plot.shown_of(read_csv((RESULTS / file).with_suffix(".csv")))), DARK)
    found.check()
    assert found.picture.size == pictures[1].shape[1::-1]
    assert (RESULTS / file).stat().st_size < 300_000
