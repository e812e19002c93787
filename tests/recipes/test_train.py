"""The training command as users type it: real processes, real files, real digits."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data import load_splits
from recipes.report import sha256
from vgg_zoo.preprocessing import centre_crop, subtract_mean, to_pixels

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--main_process_port", "0"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no"]


def command(output: Path, *options: str, processes: int = 1, recipe: str = "digits_vgg_a") -> list[str]:
    """The command line of a short run on the digits."""
    launcher = [] if processes == 1 else [*LAUNCH, "--num_processes", str(processes)]
    arguments = ["--recipe", recipe, "--data", "digits", "--output", str(output), *options]
    return [sys.executable, *launcher, "recipes/train.py", *arguments]


def run(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end, on the CPU."""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*args, **kwargs), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def results_of(output: Path) -> dict[str, Any]:
    """results.json."""
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_leaves_a_net_that_timm_loads_and_its_results(processes: int, tmp_path: Path) -> None:
    """All five files, true to each other, from as many processes as were asked for."""
    output = tmp_path / "run"
    done = run(output, "--max-steps", "25", "--device-batch", "20", processes=processes)
    assert done.returncode == 0, done.stderr
    names = ["config.json", "learning_curve.png", "metrics.csv", "model.safetensors", "results.json"]
    assert sorted(path.name for path in output.iterdir()) == names
    assert list(tmp_path.iterdir()) == [output]

    results = results_of(output)
    assert results["processes"] == processes
    assert results["steps"] == 25
    assert results["weights_sha256"] == sha256(output / "model.safetensors")
    for protocol in ("single crop", "dense"):
        assert results["results"][protocol]["images"] == 360

    with (output / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [22, 25]
    assert float(rows[1]["training_loss"]) < float(rows[0]["training_loss"]) < 10

    model = timm.create_model(f"local-dir:{output}", pretrained=True).eval()
    example = results["example"]
    crop = centre_crop(load_splits("digits")[1].image(0), example["scale"], example["crop_size"])
    with torch.inference_mode():
        logits = model(subtract_mean(to_pixels(crop)[None], results["data"]["mean"]))[0]
    torch.testing.assert_close(logits, torch.tensor(example["logits"]))


def test_a_mistyped_recipe_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The message names the value and the options, without a traceback."""
    done = run(tmp_path / "run", recipe="digits_vgg_aa")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: unknown recipe 'digits_vgg_aa'; recipes/configs/ has ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    """Without --overwrite the run refuses before it starts."""
    (tmp_path / "notes.txt").write_text("mine")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "exists already; choose another folder, or replace it with --overwrite" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_killed_run_leaves_no_output_folder(tmp_path: Path) -> None:
    """SIGKILL while training: there is no folder of that name, and the next run of the same name succeeds."""
    output = tmp_path / "run"
    partial = tmp_path / ".run.partial"
    process = subprocess.Popen(command(output), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (partial / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (partial / "metrics.csv").exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not output.exists()
    assert run(output, "--max-steps", "2").returncode == 0
    assert results_of(output)["steps"] == 2
    assert not partial.exists()
