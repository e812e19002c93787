"""`vgg-zoo bench`."""

import json

import pytest
import torch

from tests.vgg_zoo_cli.conftest import Run
from vgg_zoo_cli import bench


def test_they_take_turns() -> None:
    """Each as often as every other one, three times at least."""
    order: list[str] = []
    times = bench._in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 0)  # type: ignore[misc]
    assert order == list("ababab")
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_other_scores_are_no_figure() -> None:
    """What computes something else is not timed."""
    expected = torch.tensor([[1.0, -2.0]])
    assert bench._checked(lambda: expected, expected)() is expected
    with pytest.raises(ValueError, match=r"its scores differ by 5.0% from the plain net's"):
        bench._checked(lambda: expected * 1.05, expected)


@pytest.mark.slow
def test_the_machine_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is installed; timm's has no A-LRN, which is said. Every ratio is to ours."""
    monkeypatch.setattr(bench, "_onnx_runtime", lambda *_: (_ for _ in ()).throw(ImportError(name="onnxruntime")))
    monkeypatch.setattr(bench, "_openvino", lambda *_: (_ for _ in ()).throw(RuntimeError("two\nlines")))
    done = run("bench", "--architecture", "vgg_a_lrn", "--seconds", 0, "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert [row["runs"] for row in found["rows"]] == ["vgg_zoo", "vgg_zoo, the plain net"]
    assert all(row["ms"] > 0 and row["rounds"] == 3 for row in found["rows"])
    ours, plain = found["rows"]
    assert (ours["ratio"], plain["ratio"]) == (1, pytest.approx(plain["ms"] / ours["ms"]))
    assert found["missing"] == {
        "timm": "it has no such net, only vgg_a, vgg_b, vgg_d, vgg_e",
        "ONNX Runtime": "it needs onnxruntime: pip install 'vgg-zoo[benchmarks]'",
        "OpenVINO": "two lines",
    }
    assert "These are one machine's figures" in done.err
