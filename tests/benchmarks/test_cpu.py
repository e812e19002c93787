"""The benchmark of the forward pass: what is counted, compared, marked and written."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cpu
from benchmarks.cpu_table import GOALS, Result, csv_lines, plot, read_csv, table_lines, with_others
from benchmarks.implementations import BUILDERS, NotHereError, Subject, has
from benchmarks.nets import NETS, PEERS
from benchmarks.timing import interleaved, write
from vgg_zoo.configurations import configuration

ROOT = Path(__file__).resolve().parents[2]


def result(implementation: str, seconds: float, **changes: Any) -> Result:
    """Net E's, on one image."""
    fixed = {"net": "E", "side": 224, "batch": 1, "rounds": 7, "difference": 1e-6, "of_peak": 1.25}
    fixed |= {"peak": 9e10, "machine": "this one"}
    return Result(implementation=implementation, seconds=seconds, **fixed | changes)


@pytest.mark.parametrize("side", [224, 384, 500])
@pytest.mark.parametrize("net", NETS)
def test_the_multiplications_are_pytorchs_own_count(net: str, side: int) -> None:
    """Of its counter, which sees the operators that run; it counts the additions, too."""
    model = timm.create_model(NETS[net], device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(2, 3, side, side, device="meta"))
    assert counter.get_total_flops() == 2 * 2 * configuration(net).multiply_adds(side)


def test_who_has_which_net() -> None:
    """timm and torchvision have neither A-LRN nor C, and torchvision computes something else on larger images."""
    assert {name for name in BUILDERS if has(name, "C", 224)} == BUILDERS.keys() - {"timm", "torchvision"}
    assert {name for name in BUILDERS if has(name, "E", 224)} == BUILDERS.keys()
    assert {name for name in BUILDERS if has(name, "E", 384)} == BUILDERS.keys() - {"torchvision"}
    assert set(PEERS) < set(NETS)


def test_goals_are_judged_by_the_ratio_to_ours() -> None:
    """Only for net E, and only where ours was measured."""
    results = [result("ours", 0.1), result("timm", 0.25), result("torchvision", 0.16)]
    assert [line["goal"] for line in csv_lines(results)] == ["", "at least 2.4: met", "at least 1.7: not met"]
    (line,) = table_lines(results, ["ours", "timm", "torchvision"])
    assert line["goal"] == "torchvision at least 1.7: not met"
    assert (line["ours (s)"], line["timm (s)"]) == ("0.100", "0.250 (2.50)")
    (line,) = table_lines(results[:2], ["ours", "timm"])
    assert line["goal"] == "met"
    (line,) = table_lines(results[1:], ["timm"])
    assert (line["goal"], line["timm (s)"], line["ours, of the peak"]) == ("–", "0.250", "–")
    (line,) = table_lines([result("ours", 1, net="A")], ["ours", "timm"])
    assert (line["goal"], line["timm (s)"]) == ("–", "–")
    assert {implementation for goals in GOALS.values() for implementation in goals} < BUILDERS.keys()


def test_a_file_of_results_is_read_again(tmp_path: Path) -> None:
    """Every digit."""
    results = [result("ours", 1 / 3, done_of_peak=0.7), result("timm", 2 / 3, net="A-LRN", machine="a, b")]
    write(tmp_path / "cpu", table_lines(results, ["ours", "timm"]), "note", csv_lines(results))
    assert read_csv(tmp_path / "cpu.csv") == results
    (tmp_path / "old.csv").write_text("net,side\nE,224\n")
    with pytest.raises(ValueError, match=r"old.csv has no column batch, .*: measure the whole table, without --add"):
        read_csv(tmp_path / "old.csv")


def test_lines_that_were_measured_again_replace_those_before() -> None:
    """All of a line's implementations, in the order of the table."""
    before = [result("ours", 1, net="B"), result("ours", 1, side=512), result("timm", 2, side=512), result("ours", 1)]
    again = [result("ours", 3, side=512), result("ours", 3, net="A")]
    found = with_others(again, before, list(NETS))
    assert [(each.net, each.side, each.seconds) for each in found] == [
        ("A", 224, 3),
        ("B", 224, 1),
        ("E", 224, 1),
        ("E", 512, 3),
    ]


@pytest.mark.parametrize("with_ours", [True, False])
def test_the_plot_has_a_panel_for_each_shape(with_ours: bool, tmp_path: Path) -> None:
    """Also where an implementation lacks a net."""
    pytest.importorskip("matplotlib")
    results = [result("ours", 0.1)] if with_ours else []
    results += [result("timm", 0.2), result("timm", 0.9, batch=8), result("ONNX Runtime", 0.2, net="C", side=384)]
    plot(results, ["ours", "timm", "ONNX Runtime"], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong", [lambda: torch.full((1, 2), 1.01), lambda: torch.ones(2, 1), lambda: torch.ones(1, 2) / 0]
)
def test_another_net_is_not_timed(wrong: Any) -> None:
    """Whether it is off by more than rounding, has another shape, or gives no numbers."""
    runs = {"ours": lambda: torch.ones(1, 2), "other": wrong}
    with pytest.raises(RuntimeError, match="other computes something else than the others for net E"):
        cpu.differences(runs, "net E")
    assert cpu.differences({"ours": runs["ours"]}, "net E") == {"ours": 0}


def test_a_long_line_has_fewer_rounds() -> None:
    """But at least three, and each implementation as many."""
    runs = {"one": lambda: None, "other": lambda: None}
    assert [len(times) for times in interleaved(runs, 7, most_seconds=0).values()] == [3, 3]
    assert [len(times) for times in interleaved(runs, 7).values()] == [7, 7]
    assert [len(times) for times in interleaved(runs, 1, most_seconds=0).values()] == [1, 1]


@pytest.mark.parametrize(("name", "package"), [("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")])
def test_a_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the way to install it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotHereError, match=rf"needs {package}: pip install 'vgg-zoo\[benchmarks\]'"):
        BUILDERS[name](object.__new__(Subject))


def run(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, on the smallest net."""
    command = [sys.executable, "-m", "benchmarks.cpu", "--nets", "A", "--batches", "1", "--rounds", "1", *options]
    return subprocess.run([*command, "--output", str(output)], cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_a_small_image_is_refused(tmp_path: Path) -> None:
    """timm would stretch its map, and the others could not compute it."""
    done = run(tmp_path / "cpu", "--sides", "192")
    assert done.returncode == 2
    assert "--sides must be at least 224, the paper's training crop; got 192" in done.stderr


@pytest.mark.slow
def test_the_command_writes_its_table(tmp_path: Path) -> None:
    """As Markdown, CSV and PNG."""
    names = ["ours", "ours, exact", "timm", "torchvision", "ONNX Runtime"]
    done = run(tmp_path / "cpu", "--sides", "224", "256", "--no-memory", "--implementations", *names)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "cpu.csv").open() as file:
        lines = list(csv.DictReader(file))
    expected = [("224", name) for name in names] + [("256", name) for name in names if name != "torchvision"]
    assert [(line["side"], line["implementation"]) for line in lines] == expected
    assert all(float(line["seconds"]) > 0 and float(line["difference"]) < 1e-4 for line in lines)
    table = [line for line in (tmp_path / "cpu.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert (tmp_path / "cpu.png").read_bytes().startswith(b"\x89PNG")
    assert "timm" in done.stdout


@pytest.mark.slow
def test_one_process_measures_its_memory(tmp_path: Path) -> None:
    """Net A's 531 MB, PyTorch's libraries, and nothing that is far above them."""
    assert 0.6 < float(run(tmp_path / "cpu", "--memory-of", "ours, exact", "A", "224", "1").stdout) < 5


def test_the_peak_of_memory_is_a_processs_own() -> None:
    """Not that of the process that started it."""
    held = torch.ones(100_000_000)
    code = "from benchmarks.memory import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert 0 < float(done.stdout) < held.nbytes / 1e9
