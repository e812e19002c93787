"""The benchmark of one GPU, whose code runs on a CPU too."""

import csv
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.card import needs, sections
from benchmarks.card.nets import flops, ours, timms, torchvisions
from benchmarks.card.report import FAILED, MEASURED, MET, NOT_MET, NOT_RUN, PASSED, Report, Setting, read
from benchmarks.card.sections import SECTIONS
from benchmarks.card.trainings import last_words
from vgg_zoo.configurations import configuration

ROOT = Path(__file__).resolve().parents[2]
CPU, CUDA = Setting(device="cpu", small=True), Setting(device="cuda", small=False)


def test_verdicts(tmp_path: Path) -> None:
    """A bound is judged anywhere, a goal on a GPU only, and NaN is never good."""
    for setting in (CUDA, CPU):
        report = Report("step", setting, tmp_path / setting.device)
        report.bound("bound", 1.0, 1.0)
        report.bound("above", 1.1, 1.0)
        report.bound("no number", math.nan, 1.0)
        report.same("digests", "a", "b")
        report.goal("goal", 1.06, least=1.05)
        report.goal("goal", 1.04, least=1.05)
        report.goal("goal", math.nan, most=1.0)
    found = {device: [line.verdict for line in read(tmp_path / device)] for device in ("cuda", "cpu")}
    above = f"{FAILED}above the bound"
    assert found["cuda"] == [PASSED, above, above, f"{FAILED}not equal", MET, NOT_MET, NOT_MET]
    assert found["cpu"] == [*found["cuda"][:4], *[MEASURED] * 3]
    assert [line.is_good for line in read(tmp_path / "cuda")] == [True, *[False] * 3, *[True] * 3]


def test_a_line_that_is_cut_short_is_left_out(tmp_path: Path) -> None:
    """Its section was killed while it wrote."""
    report = Report("step", CPU, tmp_path / "lines")
    report.add("whole", "1", value=1.0)
    with report.file.open("a") as file:
        file.write('{"section": "step", "wh')
    assert [line.what for line in read(report.file)] == ["whole"]
    assert read(tmp_path / "nothing") == []


def test_a_hang_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the seconds that it was given."""
    monkeypatch.setitem(SECTIONS, "versions", replace(SECTIONS["versions"], limit=0.05))
    monkeypatch.setattr(sections, "CPU_PATIENCE", 1)
    verdict, time = sections.run_apart("versions", CPU)
    assert verdict.verdict == f"{FAILED}not over after 0 s"
    assert time.what == "time"


def test_what_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything runs."""
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "sklearn" else object())
    assert gpu.main(["--device", "cpu", "--small"]) == 2
    assert "error: missing: scikit-learn; pip install -e '.[train]'" in capsys.readouterr().err


def test_older_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run all the same."""
    monkeypatch.setattr(needs, "version", {"torch": "2.9.1+cu128", "timm": "1.0.31"}.__getitem__)
    assert needs.too_old() == ["torch 2.9.1+cu128 is older than 2.11, which the figures are wanted for"]


def test_figures_of_a_cpu_do_not_go_where_those_of_a_gpu_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Full nets on a CPU, and small ones on a GPU, are refused."""
    assert gpu.parse([]).output == gpu.RESULTS
    assert gpu.parse(["--device", "cpu", "--small"]).output.parent != gpu.RESULTS.parent
    with pytest.raises(SystemExit):
        gpu.parse(["--device", "cpu"])
    assert "--small and --device cpu go together" in capsys.readouterr().err


def test_the_last_words_of_a_process() -> None:
    """The error, and not what torchrun puts behind it."""
    assert last_words("ValueError: wrong\n[rank0]: bye\n\n") == "ValueError: wrong"
    assert last_words("note: so\n") == "note: so"
    assert last_words("") == "it said nothing"


def test_what_counts_as_work() -> None:
    """Two operations for each multiplication of the paper's net; on larger images at every position."""
    assert flops(CUDA, 1, 3, 224, 224) == 2 * configuration("D").multiply_adds()
    assert flops(CUDA, 2, 3, 256, 256) == 4 * configuration("D").multiply_adds(256)


def test_timms_narrow_net_is_ours() -> None:
    """With the same weights; torchvision's has as many."""
    net = ours(small=True).eval()
    other = timms(small=True).eval()
    other.load_state_dict(net.state_dict())
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(net(images), other(images), atol=1e-5, rtol=1e-4)
    counts = [sum(each.numel() for each in peer.parameters()) for peer in (net, torchvisions(small=True))]
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_without_a_gpu_it_says_so() -> None:
    """And what runs without one."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "finds no GPU; --device cpu --small runs the same code without one" in done.stderr


@pytest.mark.slow
def test_a_section_that_fails_is_a_verdict() -> None:
    """With its error, as here, where there is no GPU."""
    found = sections.run_apart("versions", CUDA)
    assert [line.verdict.startswith(f"{FAILED}code 1: ") for line in found] == [True, False]


@pytest.mark.slow
def test_every_section_runs_on_a_cpu(tmp_path: Path) -> None:
    """On narrow nets: what must be equal is, and every goal is measured."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small", "--output", str(tmp_path / "gpu")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "gpu.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(dict.fromkeys(line["section"] for line in lines)) == list(SECTIONS)
    for section in ("fp64", "ranks", "resume", "launched", "precision"):
        assert PASSED in [line["verdict"] for line in lines if line["section"] == section]
    goals = [line for line in lines if line["goal or bound"].startswith("at least")]
    assert len(goals) == 12
    assert {line["verdict"] for line in goals} == {MEASURED}
    not_run = [line["what"] for line in lines if line["verdict"].startswith(NOT_RUN)]
    names = ["matrix product, tf32", "torchrun, --compile", "tf32", "from files ÷ in memory"]
    assert not_run == names
    assert "THE CODE ONLY, narrow nets on a CPU" in (tmp_path / "gpu.md").read_text()
