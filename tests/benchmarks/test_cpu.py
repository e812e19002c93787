"""The benchmark of the forward pass: what is counted, compared, marked and written."""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cpu_measurement
from benchmarks.bound import Rates, work_of
from benchmarks.cpu_measurement import Case, Measurement
from benchmarks.cpu_table import (
    GOALS,
    Result,
    about_lines,
    csv_lines,
    nearest,
    rate_lines,
    read_csv,
    rows,
    table_lines,
    with_others,
)
from benchmarks.implementations import IMPLEMENTATIONS, NotHereError, Subject, has
from benchmarks.nets import NETS, PEERS
from benchmarks.situations import SITUATIONS, alone, busy_process
from benchmarks.timing import copy_bandwidth, interleaved, write
from vgg_zoo.configurations import configuration

ROOT = Path(__file__).resolve().parents[2]


def result(implementation: str, seconds: float, **changes: Any) -> Result:
    """Net E's, on one image, warm."""
    fixed = {"net": "E", "side": 224, "batch": 1, "situation": "warm", "rounds": 7, "difference": 1e-6}
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
    names = IMPLEMENTATIONS.keys()
    assert {name for name in names if has(name, "C", 224)} == names - {"timm", "torchvision"}
    assert {name for name in names if has(name, "E", 224)} == names
    assert {name for name in names if has(name, "E", 384)} == names - {"torchvision"}
    assert set(PEERS) < set(NETS)


def test_goals_are_judged_by_the_nearest_peer() -> None:
    """Of float32 for ours, of all for its bfloat16; the plain net is ours, too."""
    peers = [result("ours, exact", 0.11), result("timm", 0.25), result("ONNX Runtime", 0.17)]
    results = [result("ours", 0.1), *peers, result("OpenVINO, defaults", 0.12)]
    assert [line["goal"] for line in csv_lines(results)] == ["1.6: met", "", "", "", ""]
    (line,) = table_lines(results, ["ours", "timm", "torchvision"])
    assert line["goal"] == "ours 1.6: met"
    assert (line["ours (ms)"], line["timm (ms)"], line["torchvision (ms)"]) == ("100", "250 (2.50)", "–")
    (found,) = rows([*results, result("ours, bf16", 0.11)])
    assert nearest(found, float32=True) == found["ONNX Runtime"]
    assert nearest(found, float32=False) == found["OpenVINO, defaults"]
    (line,) = table_lines(list(found.values()), ["ours", "ours, bf16"])
    assert line["goal"] == "ours 1.6: met; ours, bf16 1.15: not met"


def test_without_ours_or_without_a_goal_nothing_is_judged() -> None:
    """Nor where no peer was measured."""
    (line,) = table_lines([result("timm", 0.25)], ["timm"])
    assert (line["goal"], line["timm (ms)"], line["ours, of the bound"]) == ("–", "250", "–")
    assert [line["goal"] for line in csv_lines([result("ours", 1)])] == [""]
    assert [line["goal"] for line in csv_lines([result("ours", 1, net="A"), result("timm", 2, net="A")])] == ["", ""]
    assert {situation for goals in GOALS.values() for *_, situation in goals} < SITUATIONS.keys()


def test_a_file_of_results_is_read_again(tmp_path: Path) -> None:
    """Every digit."""
    results = [result("ours", 1 / 3, of_bound=0.7, bandwidth=2e10), result("timm", 2 / 3, net="A-LRN", machine="a, b")]
    write(tmp_path / "cpu", table_lines(results, ["ours", "timm"]), "note", csv_lines(results), "above")
    assert read_csv(tmp_path / "cpu.csv") == results
    assert (tmp_path / "cpu.md").read_text().startswith("above\n\n| net |")
    (tmp_path / "old.csv").write_text("net,side\nE,224\n")
    with pytest.raises(ValueError, match=r"old.csv has no column batch, .*: measure the whole table, without --add"):
        read_csv(tmp_path / "old.csv")


def test_lines_that_were_measured_again_replace_those_before() -> None:
    """All of a line's implementations, in the order of the table; another situation is another line."""
    before = [result("ours", 1, net="B"), result("ours", 1, side=512), result("timm", 2, side=512), result("ours", 1)]
    again = [result("ours", 3, side=512), result("ours", 3, situation="cold"), result("ours", 3, net="A")]
    found = with_others(again, before)
    assert [(each.net, each.side, each.situation, each.seconds) for each in found] == [
        ("A", 224, "warm", 3),
        ("B", 224, "warm", 1),
        ("E", 224, "warm", 1),
        ("E", 224, "cold", 3),
        ("E", 512, "warm", 3),
    ]


def test_errors_and_rates_are_told() -> None:
    """The largest error of each implementation; the rates of each machine, from the lowest to the highest."""
    results = [result("ours", 1), result("ours", 1, difference=2e-6, peak=9.9e10), result("torch, bf16", 1)]
    ours, bf16 = about_lines([*results, result("ours", 1, machine="another", bandwidth=2e10)])
    assert (ours["relative error, at most"], ours["in float32"]) == ("2e-06", "yes")
    assert bf16["in float32"] == "it may take bfloat16"
    (line,) = rate_lines(results)
    assert list(line.values()) == ["this one", "90 to 99", "–", "–"]
    assert copy_bandwidth(2**20, rounds=1) > 0


class Constant:
    """A subject whose net gives the same scores for all images."""

    def net(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 2)."""
        return torch.ones(len(images), 2)


@pytest.mark.parametrize("wrong", [torch.full((1, 2), 1.01), torch.ones(2, 1), torch.ones(1, 2) / 0])
def test_another_net_is_not_timed(wrong: torch.Tensor, tmp_path: Path) -> None:
    """Whether it is off by more than rounding, has another shape, or gives no numbers."""
    case = Case(tmp_path, 32, 1)
    case.compute(Constant())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="timm computes something else than the plain net for 1 × 32 × 32"):
        case.difference("timm", wrong)
    assert case.difference("timm", torch.ones(1, 2)) == 0


def test_bfloat16_may_be_off_by_its_rounding(tmp_path: Path) -> None:
    """By no more."""
    case = Case(tmp_path, 32, 1)
    case.compute(Constant())  # type: ignore[arg-type]
    assert case.difference("torch, bf16", torch.full((1, 2), 1.01)) == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(RuntimeError, match="torch, bf16 computes something else"):
        case.difference("torch, bf16", torch.full((1, 2), 2.0))


def test_a_cold_pass_comes_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm one does not."""
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    assert len(alone("cold", lambda: None, 2, 9)) == 2
    assert len(alone("warm", lambda: None, 2, 9)) == 2
    assert rests == [0.3, 0.3, 0, 0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_a_busy_process_computes_and_ends() -> None:
    """Niced, and for as long as it is wanted."""

    def children() -> dict[int, int]:
        """The processes that this one has started, and how nice they are."""
        stats = []
        for path in sorted(Path("/proc").glob("[0-9]*/stat")):
            with suppress(OSError):  # it has ended meanwhile
                stats.append(path.read_text().rpartition(")")[2].split())
        return {int(stat[3]): int(stat[16]) for stat in stats if int(stat[1]) == os.getpid()}

    before = os.nice(0)
    with busy_process():
        deadline = time.monotonic() + 60  # it begins as this process, and is niced then
        while min(before + 10, 19) not in children().values():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert min(before + 10, 19) not in children().values()


def test_the_bound_is_the_larger_of_two_times(tmp_path: Path) -> None:
    """Of multiplying and of reading: all weights, and four times those that are stored transformed."""
    subject = Subject("A", tmp_path, 1)
    work = work_of(subject.fast, 224, 224, 8)
    assert work.bytes == pytest.approx(4 * (8 * 3 * 224**2 + 123_633_664 + 1728 + 4 * 958_464 + 8_257_536), rel=1e-6)
    assert work.bf16 == 0
    direct, conv5 = 86_704_128 + 123_633_664, 2 * 14**2 * 9 * 512**2
    winograd = (7_609_090_048 - direct - conv5) / 4 + conv5 * (4 * 4 * 36) / (14 * 14 * 9)
    assert work.float32 == pytest.approx(8 * (direct + winograd), rel=1e-3)
    args = argparse.Namespace(sides=[], batches=[])
    for rates in (Rates(1e9, None, 1e12), Rates(1e15, None, 1e9)):
        found = Measurement(subject, args, rates, {})._result(
            "ours", seconds=[2.0], side=224, batch=8, situation="warm", difference=0
        )
        assert found.of_bound == max(work.float32 / rates.peak, work.bytes / rates.bandwidth) / 2


def test_layers_in_bfloat16_have_its_rate_and_half_the_bytes() -> None:
    """One layer of each kind, whose weights are 3 and 5 numbers; fc8 has 2."""
    layers = [
        SimpleNamespace(weights=3, arithmetic="product", multiplications=3e-9),
        SimpleNamespace(weights=5, arithmetic="bf16", multiplications=5e-9),
    ]
    fast = SimpleNamespace(
        plan=lambda height, width, batch: SimpleNamespace(layers=layers),
        head=SimpleNamespace(fc=SimpleNamespace(weight=torch.zeros(2))),
    )
    work = work_of(fast, 1, 2, 1)
    assert (work.float32, work.bf16, work.bytes) == pytest.approx((5, 5, 4 * (6 + 2 + 3) + 2 * 5))
    assert work.least_seconds(Rates(1, 10, 1e9)) == pytest.approx(5.5)
    assert work.least_seconds(Rates(1e9, None, 27)) == pytest.approx(2)


@pytest.mark.parametrize("said", ["needs luck", []])
def test_what_a_process_says_is_a_result_or_a_reason(
    said: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A reason is kept, and the implementation is not tried again."""
    given: list[tuple[str, ...]] = []

    def answer(*arguments: str) -> Any:
        given.append(arguments)
        return json.loads(json.dumps(said))

    monkeypatch.setattr(cpu_measurement, "in_own_process", answer)
    subject: Any = argparse.Namespace(name="A", folder=tmp_path)
    limits = {"rounds": 1, "most_seconds": 1, "threads": 1}
    args = argparse.Namespace(
        sides=[], batches=[], implementations=["ours"], situations=["warm", "alternating"], **limits
    )
    args.sides = [224]
    missing: dict[str, str] = {}
    measurement = Measurement(subject, args, Rates(1, None, 1), missing)
    assert measurement._alone("ours", ["warm"]) == []
    assert given[0][-2:] == ("--situations", "warm")
    assert missing == ({"ours": said} if said else {})
    assert measurement._names() == ([] if said else ["ours"])


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
    with pytest.raises(NotHereError, match=rf"needs {package}: pip install -e '\.\[benchmarks\]'"):
        IMPLEMENTATIONS[name].build(object.__new__(Subject))


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
    """As Markdown, CSV and PNG, in every situation."""
    names = ["ours", "ours, exact", "torchvision", "ONNX Runtime, defaults"]
    done = run(tmp_path / "cpu", "--sides", "224", "256", "--busy", "--no-memory", "--implementations", *names)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "cpu.csv").open() as file:
        lines = list(csv.DictReader(file))
    expected = [
        (side, situation, name)
        for side in ("224", "256")
        for situation in SITUATIONS
        for name in names
        if (side, name) != ("256", "torchvision") and (situation, name) != ("alternating", "ONNX Runtime, defaults")
    ]
    assert [(line["side"], line["situation"], line["implementation"]) for line in lines] == expected
    assert all(float(line["seconds"]) > 0 and float(line["difference"]) < 1e-4 for line in lines)
    assert {line["implementation"] for line in lines if float(line["of_bound"] or 0) > 0} == {"ours"}
    text = (tmp_path / "cpu.md").read_text()
    assert len([line for line in text.splitlines() if line.startswith("| A |")]) == 2 * len(SITUATIONS)
    assert "torch.compile, max-autotune is left out: it compiles for minutes" in text
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("cpu.png", "cpu_dark.png"))
    assert "torchvision" in done.stdout


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
