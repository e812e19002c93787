"""The paper's chain of runs, whole but small, on the digits; and the plan of the real one."""

import json
import re
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file

from recipes import reproduce
from recipes.data.source import load
from recipes.recipe import load_recipe
from recipes.runtime.hardware import device_restored
from recipes.training.reproduce import chain, errors, in_words, names_of, plan
from recipes.training.step_rate import StepRate, measure
from tests.forked import launcher
from tests.recipes.commands import check_written, command, refusal, run, succeed

ALL = ("a", "a_lrn", "b", "b_shallow", "c", "d", "e")


def test_every_run_comes_after_what_it_stands_on(tmp_path: Path) -> None:
    """A first, S=384 after S=256, jitter after S=384; nothing twice."""
    names = [run.name for run in chain(names_of(ALL, "paper"), tmp_path)]
    assert len(names) == len(set(names)) == 14
    for place, name in enumerate(names):
        before = load_recipe(name).init_from
        assert before is None or before in names[:place]


def test_runs_that_are_not_finished_have_no_errors(tmp_path: Path) -> None:
    """As after --dry-run."""
    assert errors(chain(["vgg_d_s256"], tmp_path)) == {}


def test_a_part_of_the_chain_brings_what_it_needs(tmp_path: Path) -> None:
    """Net D alone needs net A."""
    assert [run.name for run in chain(["vgg_d_s384"], tmp_path)] == ["vgg_a_s256", "vgg_d_s256", "vgg_d_s384"]
    assert [run.name for run in chain(["vgg_d_s256_glorot"], tmp_path)] == ["vgg_d_s256_glorot"]


def test_the_plan_counts_steps_images_and_hours(tmp_path: Path) -> None:
    """370K iterations of 256 images, at the rate that was given; net A costs half of D."""
    table = plan(chain(["vgg_d_s256"], tmp_path), images=1_281_167, rate=1000).splitlines()
    assert re.search(r"vgg_d_s256 .* vgg_a_s256 .* 370,000 +94,720,000 +26.3 h +to do$", table[2])
    assert re.search(r"vgg_a_s256 .* random weights .* 12.9 h +to do$", table[1])
    assert table[3] == "39.3 h left at 1000 images/s of net D; steps are at the most"


def test_a_plan_without_a_rate_names_what_it_assumes(tmp_path: Path) -> None:
    """And says times as people do."""
    last = plan(chain(["vgg_a_s256@small"], tmp_path), images=300, rate=None).splitlines()[-1]
    assert last.startswith(
        "under 1 s left at 549 images/s of net D, assumed: an RTX 3090's (--measure takes this machine's; "
    )
    assert [in_words(hours) for hours in (6.83e-06, 0.01, 0.42, 1.4, 12.92, 197)] == [
        "under 1 s",
        "36 s",
        "25 min",
        "84 min",
        "12.9 h",
        "8.2 days",
    ]


def test_a_plan_takes_a_measured_rate(tmp_path: Path) -> None:
    """And says how it was measured, and how much the steps differed."""
    rate = StepRate(images=100, least=80, most=125, batch=4, steps=9, device="cpu")
    lines = plan(chain(["vgg_d_s256"], tmp_path), images=1_281_167, rate=rate).splitlines()
    assert re.search(r" 11\.0 days +to do$", lines[2])  # 94,720,000 images at 100 a second
    last = "images/s of net D, measured on this cpu: 80 to 125 in 9 steps of 4 images in fp32, one process, without "
    assert f"left at 100 {last}" in lines[3]


def test_a_measurement_is_of_whole_steps() -> None:
    """At least three of them, however short the time; the median is between the slowest and the fastest."""
    narrow = {"width_multiplier": 0.05, "head_hidden_size": 8, "head_kernel_size": 1}
    with device_restored():
        found = measure("cpu", seconds=0, model="vgg_a", side=32, **narrow)
    assert 0 < found.least <= found.images <= found.most
    assert (found.batch, found.steps, found.device) == (4, 3, "cpu")


def test_the_plan_is_measured_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the device that the trainings would take; with --rate it is refused."""
    rate = StepRate(images=100, least=80, most=125, batch=4, steps=9, device="cpu")
    monkeypatch.setattr("recipes.training.reproduce.measure", {"cpu": rate}.__getitem__)
    words = ["--data", "ILSVRC/imagenet-1k", "--output", str(tmp_path / "runs"), "--plan", "--measure"]
    assert reproduce.main([*words, "--device", "cpu"]) == 0
    assert "measured on this cpu: 80 to 125 in 9 steps of 4 images" in capsys.readouterr().out
    assert "not allowed with argument" in refusal(reproduce.main, *words, "--rate", "3", code=2)
    assert "--measure is for --plan" in refusal(reproduce.main, "--data", "digits", "--measure", code=2)
    assert "--measure takes steps in fp32; got --precision bf16" in refusal(
        reproduce.main, *words, "--precision", "bf16", code=2
    )


def test_a_measurement_on_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a training there is; it does not take the CPU instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["--data", "ILSVRC/imagenet-1k", "--plan", "--measure", "--device", "cuda"]
    assert "--device cuda: PyTorch sees no GPU here" in refusal(reproduce.main, *words, code=2)


def test_the_plan_of_imagenet_needs_no_data(tmp_path: Path) -> None:
    """It runs nothing and writes nothing."""
    done = succeed(command("reproduce", "--data", "ILSVRC/imagenet-1k", "--plan", "--output", tmp_path / "runs"))
    assert "vgg_e_s256_512" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_net_lists_the_nets(tmp_path: Path) -> None:
    """As do a mistyped recipe and options, its own and those that it passes on."""
    refused = partial(refusal, reproduce.main, "--data", "digits", "--output", tmp_path / "runs", code=2)
    assert "unknown --nets 'f'; choose from a, a_lrn, b" in refused("--nets", "f")
    assert "unknown recipe 'vgg_d_256' (did you mean vgg_d_s256" in refused("--recipes", "vgg_d_256")
    assert "no option --lauchner (did you mean --launcher?)" in refused("--lauchner", "x")
    assert "no option --device-bach (did you mean --device-batch or --device?)" in refused("--device-bach", "8")
    assert "--max-steps: must be a whole number of at least 1; got 0" in refused("--max-steps", "0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_whole_chain_runs(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """All fourteen runs, small; then nothing is left to do, and a deleted run is trained again."""
    data, digits = tmp_path_factory.mktemp("data"), load("digits")
    datasets.DatasetDict(train=digits.select(range(256)), test=digits.select(range(256, 296))).save_to_disk(data)
    options = ["--data", data, "--small", "--output", tmp_path, "--launcher", launcher()]
    arguments = command("reproduce", *options)
    done = succeed(arguments)
    assert " · 14 run(s), 14 left · " in done.stdout
    check_written(done.stdout.rpartition("\nvgg_a_s256@small  ")[2], tmp_path)
    assert len(list(tmp_path.iterdir())) == 14
    for folder in tmp_path.iterdir():
        results = json.loads((folder / "results.json").read_text())
        assert (results["finished"], results["steps"], results["epochs"]) == (True, 16, 4)
        assert results["results"]["dense"]["images"] == 40

    # Only the FC layers were trained there, from the net of S=384.
    frozen, whole, before = (
        load_file(tmp_path / f"vgg_d_{name}@small" / "model.safetensors")
        for name in ("s256_512_fc", "s256_512", "s384")
    )
    for key in before:
        is_trunk = key.startswith("features")
        assert torch.equal(frozen[key], before[key]) == is_trunk
        assert not torch.equal(whole[key], before[key])

    again = succeed(arguments)
    assert again.stdout.count("finished") == 15
    assert "$" not in again.stdout
    assert f"already done: {tmp_path} is finished" in again.stdout
    check_written(again.stdout, tmp_path)

    (tmp_path / "vgg_e_s256_512@small" / "results.json").unlink()
    third = succeed(arguments)
    assert third.stdout.count("$ ") == 1
    assert "[14/14] vgg_e_s256_512@small: to resume" in third.stdout or "vgg_e_s256_512@small: to do" in third.stdout


@pytest.mark.slow
def test_a_run_that_fails_ends_the_chain(tmp_path: Path) -> None:
    """With the run's own words and the way on."""
    done = run(
        command(
            "reproduce", "--data", "digits", "--small", "--nets", "a", "--output", tmp_path, "--set", "batch_size=9999"
        )
    )
    assert done.returncode == 1
    assert "batch_size 9999 is larger than the training set" in done.stderr
    assert "vgg_a_s256@small ended with code 1" in done.stderr


def test_the_nets_that_predict_boxes_stand_on_the_classifiers(tmp_path: Path) -> None:
    """Six runs of Appendix A, each behind net D at the same S."""
    names = [run.name for run in chain(names_of(ALL, "boxes"), tmp_path)]
    assert names[:2] == ["vgg_a_s256", "vgg_d_s256"]
    assert len(names) == 9
    assert names.index("vgg_d_s384") < names.index("vgg_d_s384_pcr")
