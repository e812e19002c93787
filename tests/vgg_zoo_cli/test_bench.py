"""`vgg-zoo bench`."""

import json
from typing import Any

import pytest
import torch

from tests.vgg_zoo_cli.conftest import Run
from vgg_zoo.extras import install
from vgg_zoo_cli import bench


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float, result: Any = None) -> Any:
        """Takes so long."""
        self.now += seconds
        return result


@pytest.mark.parametrize(("seconds", "rounds"), [(30, 9), (9, 2), (0.5, 1)])
def test_they_take_turns_while_there_is_time(seconds: float, rounds: int) -> None:
    """Each as often as every other one; no round begins that would not end in time, but for the first."""
    clock, order = Clock(), []
    forwards = {name: lambda name=name: order.append(clock.work(1.5, name)) for name in "ab"}
    times = bench._in_turn(forwards, bench.Budget(seconds, clock))  # type: ignore[arg-type]
    assert order == list("ab" * rounds)
    assert times == {"a": [1.5] * rounds, "b": [1.5] * rounds}


def test_what_there_is_no_time_for_is_left_out() -> None:
    """By what the plain net took; ours are prepared in any case, and what is left out says why."""
    clock, expected = Clock(), torch.ones(1, 2)
    ways = {
        name: lambda seconds=seconds: clock.work(seconds, lambda: clock.work(0.5, expected))
        for name, seconds in {"vgg_zoo": 22.0, "timm": 1.0, "ONNX Runtime": 9.0}.items()
    }
    budget = bench.Budget(30, clock)
    forwards, missing = bench._in_time(ways, expected, budget, prepared=2.0, run=0.5)  # type: ignore[arg-type]
    assert list(forwards) == ["vgg_zoo", "timm"]
    needed = bench.PREPARING["ONNX Runtime"] * 2 + bench.ROUNDS * 3 * 0.5
    assert missing == {"ONNX Runtime": f"6 s of --seconds 30 are left, and it may need {needed:.0f}"}
    forwards, missing = bench._in_time(ways, expected, bench.Budget(90, clock), prepared=2.0, run=0.5)  # type: ignore[arg-type]
    assert (list(forwards), missing) == (list(ways), {})
    assert list(bench._in_time(ways, expected, bench.Budget(1, clock), prepared=2.0, run=0.5)[0]) == ["vgg_zoo"]  # type: ignore[arg-type]


def test_other_scores_are_no_figure() -> None:
    """What computes something else is not timed."""
    expected = torch.tensor([[1.0, -2.0]])
    assert bench._checked(lambda: expected, expected)() is expected
    with pytest.raises(ValueError, match=r"its scores differ by 5.0% from the plain net's"):
        bench._checked(lambda: expected * 1.05, expected)


@pytest.mark.slow
def test_the_machine_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is installed; timm has no A-LRN, which is reported. Every ratio is to ours."""
    monkeypatch.setattr(bench, "_onnx_runtime", lambda *_: (_ for _ in ()).throw(ImportError(name="onnxruntime")))
    monkeypatch.setattr(bench, "_openvino", lambda *_: (_ for _ in ()).throw(RuntimeError("two\nlines")))
    in_turn = bench._in_turn
    monkeypatch.setattr(bench, "_in_turn", lambda forwards, budget: in_turn(forwards, bench.Budget(0)))
    done = run("bench", "--architecture", "vgg_a_lrn", "--seconds", 3600, "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert [row["runs"] for row in found["rows"]] == ["vgg_zoo", "vgg_zoo, the plain net"]
    assert all(row["ms"] > 0 and row["rounds"] == 1 for row in found["rows"])
    ours, plain = found["rows"]
    assert (ours["ratio"], plain["ratio"]) == (1, pytest.approx(plain["ms"] / ours["ms"]))
    assert found["missing"] == {
        "timm": "it has no such net, only vgg_a, vgg_b, vgg_d, vgg_e",
        "ONNX Runtime": f"it needs onnxruntime: {install('benchmarks')}",
        "OpenVINO": "two lines",
    }
    assert "1 round(s) of the 3 that a median should be of; give more --seconds than 3600" in done.err
    assert "These figures hold for this machine" in done.err
