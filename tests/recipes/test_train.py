"""The training command as users type it: real processes, real files, real digits."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes import train
from recipes.data.splits import load_splits
from tests.recipes.commands import TINY, check_written, command, run, run_line, succeed, train_command
from vgg_zoo.images.preprocessing import centre_crop, subtract_mean
from vgg_zoo.weights.files import file_digest


def results_of(output: Path) -> dict[str, Any]:
    """results.json."""
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_leaves_a_net_that_timm_loads_and_its_results(processes: int, tmp_path: Path) -> None:
    """All files, true to each other, from as many processes as were asked for."""
    output = tmp_path / "run"
    options = ["--device-batch", 20, "--max-steps", 46]
    done = succeed(train_command(output, *options, recipe="digits_vgg_a", processes=processes))
    check_written(done.stdout, output)
    names = {"config.json", "learning_curve.png", "metrics.csv", "model.safetensors", "results.json"}
    assert {path.name for path in output.iterdir()} == names | {"run.json", "colours.json", "checkpoints"}

    results = results_of(output)
    assert results["processes"] == processes
    assert results["steps"] == 46
    assert results["finished"] is False
    assert results["weights_sha256"] == file_digest(output / "model.safetensors")
    for protocol in ("single crop", "dense"):
        assert results["results"][protocol]["images"] == 360

    with (output / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["epoch"]), int(row["step"])) for row in rows] == [(1, 44)]
    assert 0 < float(rows[0]["training_loss"]) < 10

    check_example(output)


def check_example(output: Path) -> None:
    """The net that timm loads from the folder gives the logits of the example, however it was trained."""
    results = results_of(output)
    model = timm.create_model(f"local-dir:{output}", pretrained=True).eval()
    example = results["example"]
    crop = centre_crop(load_splits("digits")[1].pixels(0), example["scale"], example["crop_size"])
    with torch.inference_mode():
        logits = model(subtract_mean(crop[None], tuple(results["data"]["mean"])))[0]
    torch.testing.assert_close(logits, torch.tensor(example["logits"]))


def test_a_mistyped_recipe_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The message names the value and the options, without a traceback."""
    done = run(train_command(tmp_path / "run", recipe="digits_vgg_aa"))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: unknown recipe 'digits_vgg_aa' (did you mean digits_vgg_a")
    assert "; recipes/configs/ has " in last
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    """Without --overwrite the run refuses before it starts."""
    (tmp_path / "notes.txt").write_text("mine")
    done = run(train_command(tmp_path))
    assert done.returncode == 1
    assert "is not the folder of a run, which is all that --overwrite deletes; choose another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_recipe_that_begins_with_a_net_says_which_is_missing(tmp_path: Path) -> None:
    """And how to get it."""
    done = run(train_command(tmp_path / "vgg_d_s256@small", recipe="vgg_d_s256@small"))
    assert done.returncode == 1
    assert "begins with the net of vgg_a_s256@small" in done.stderr
    assert "recipes/reproduce.py trains all that is needed" in done.stderr
    assert list(tmp_path.iterdir()) == []


# Of tests/recipes/tiny.py on the digits. A refactoring leaves them alone; a change of what is learned changes them, and
# says so. They hold to a tenth of a percent, as versions of PyTorch round the pixels of a crop differently.
GOLDEN = [
    3.6769,
    3.18102,
    2.53289,
    2.82334,
    2.59675,
    2.41708,
    2.50791,
    2.38234,
    2.28632,
    2.4206,
    2.35724,
    2.31201,
    2.27543,
    2.36169,
    2.37431,
    2.33994,
    2.35469,
    2.2762,
    2.33627,
    2.27409,
]


@pytest.mark.slow
def test_the_losses_of_the_first_steps_are_the_golden_ones(tmp_path: Path) -> None:
    """Twenty losses, as TensorBoard has them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    output = tmp_path / "run"
    succeed(train_command(output, "--precision", "fp64", "--max-steps", 20, "--trackers", "tensorboard"))
    events = EventAccumulator(str(next(output.rglob("events.out.tfevents.*")).parent)).Reload()
    losses = [event.value for event in events.Scalars("loss")]
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 21))
    assert losses == pytest.approx(GOLDEN, rel=1e-3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 40 and 20 noisy photos in train/ and val/, among them one of each that cannot be decoded."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 20)):
        for label, brightness in (("dark", 60), ("light", 190)):
            (folder / split / label).mkdir(parents=True)
            for place in range(count):
                noise = generator.integers(-50, 50, (40, 50, 3)) + brightness
                Image.fromarray(noise.astype(np.uint8)).save(folder / split / label / f"{place:02}.jpg")
        whole = (folder / split / "dark" / "05.jpg").read_bytes()
        (folder / split / "dark" / "05.jpg").write_bytes(whole[: len(whole) // 2])
        (folder / split / "light" / "06.jpg").write_bytes(b"")
        Image.new("CMYK", (40, 40)).save(folder / split / "light" / "07.jpg")
    return folder


PHOTO_RECIPE = """
from dataclasses import replace
from tests.recipes import tiny

def recipe():
    return replace(tiny.recipe(), batch_size=16, epochs=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "workers"), [(1, 0), (2, 1)])
def test_bad_images_are_counted_named_and_replaced(processes: int, workers: int, photos: Path, tmp_path: Path) -> None:
    """Neither a crash nor a silent loss: every one is in the report, and every test image in the counts."""
    (tmp_path / "recipe.py").write_text(PHOTO_RECIPE)
    output = tmp_path / "run"
    options = ["--recipe", tmp_path / "recipe.py", "--data", photos, "--output", output, "--workers", workers]
    done = succeed(command("train", *options, processes=processes))
    assert re.search(r"^unusable images +4$", done.stdout, re.MULTILINE)
    check_written(done.stdout, output)
    with (output / "bad_images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["split"], Path(row["name"]).name) for row in rows] == [
        ("training", "05.jpg"),
        ("training", "06.jpg"),
        ("validation", "05.jpg"),
        ("validation", "06.jpg"),
    ]
    assert "truncated" in rows[0]["reason"]
    assert rows[1]["reason"] == "the file is empty (0 bytes)"
    results = results_of(output)
    assert results["data"]["unreadable_images"] == 4
    assert results["results"]["single crop"]["images"] == 40
    assert results["results"]["single crop"]["top1"] >= 2 / 40


@pytest.mark.slow
def test_strict_stops_at_the_first_bad_image(photos: Path, tmp_path: Path) -> None:
    """And names it."""
    (tmp_path / "recipe.py").write_text(PHOTO_RECIPE)
    options = ["--recipe", tmp_path / "recipe.py", "--data", photos, "--output", tmp_path / "run", "--strict"]
    done = run(command("train", *options))
    assert done.returncode == 1
    assert "error: --strict: training image" in done.stderr


def test_a_data_set_can_be_checked_before(photos: Path, tmp_path: Path) -> None:
    """Counts, names, and an exit code."""
    options = ["--data", photos, "--output", tmp_path / "report"]
    done = run(command("check_data", *options))
    check_written(done.stdout, tmp_path / "report")
    assert done.returncode == 1
    assert "training: images 80, cannot be decoded 2, classes 2" in done.stdout
    assert "the file is empty (0 bytes)" in done.stdout
    report = json.loads((tmp_path / "report" / "data.json").read_text())
    assert report["validation"]["images"] == 40
    assert len((tmp_path / "report" / "bad_images.csv").read_text().splitlines()) == 5
    said = succeed(command("check_data", "--data", "digits")).stdout
    assert said.startswith("check_data · digits · 1,437 training and 360 validation images\ntraining: images 1437, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("learning_rate=1e4", "the initialisation or the learning rate"),
        ("model_args={**tiny.recipe().model_args, 'initialisation': 'normal', 'std': 30.0}", "N(0, σ²) needs σ = 0.01"),
    ],
)
def test_a_loss_that_is_no_number_ends_the_run_by_name(change: str, cause: str, tmp_path: Path) -> None:
    """The likeliest cause is named, and no checkpoint holds such weights."""
    recipe = "from dataclasses import replace\nfrom tests.recipes import tiny\n"
    (tmp_path / "wild.py").write_text(f"{recipe}def recipe():\n    return replace(tiny.recipe(), {change})\n")
    done = run(train_command(tmp_path / "run", "--checkpoint-every", 1, recipe=str(tmp_path / "wild.py")))
    assert done.returncode == 1
    assert "error: the loss is " in done.stderr
    assert cause in done.stderr
    for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
        assert math.isfinite(json.loads((folder / "state.json").read_text())["loss_sum"])


@pytest.mark.slow
def test_an_average_of_the_weights_is_what_is_tested_and_saved(tmp_path: Path) -> None:
    """Against the checkpoints of every step, averaged here."""
    recipe = "from dataclasses import replace\nfrom tests.recipes import tiny\n"
    (tmp_path / "ema.py").write_text(f"{recipe}def recipe():\n    return replace(tiny.recipe(), ema_decay=0.8)\n")
    options: list[Any] = ["--precision", "fp64", "--max-steps", 6, "--checkpoint-every", 1, "--keep-last", 9]
    succeed(train_command(tmp_path / "run", *options, recipe=str(tmp_path / "ema.py")))
    nets = [load_file(path / "model.safetensors") for path in sorted((tmp_path / "run" / "checkpoints").glob("step-*"))]
    assert len(nets) == 6
    torch.manual_seed(0)
    begin = timm.create_model("vgg_a", num_classes=10, **_tiny_args()).double().state_dict()
    for key, average in begin.items():
        for net in nets:
            average = 0.8 * average + 0.2 * net[key]
        torch.testing.assert_close(load_file(tmp_path / "run" / "model.safetensors")[key], average)


def _tiny_args() -> dict[str, Any]:
    from tests.recipes import tiny

    return dict(tiny.recipe().model_args)


@pytest.mark.slow
def test_hardware_options_train_the_same_net(tmp_path: Path) -> None:
    """NHWC and gradient checkpointing change rounding only; bf16 stays near."""
    options: list[Any] = ["--precision", "fp64", "--max-steps", 5]
    succeed(train_command(tmp_path / "plain", *options))
    succeed(train_command(tmp_path / "other", *options, "--channels-last", "--gradient-checkpointing"))
    succeed(train_command(tmp_path / "bf16", "--precision", "bf16", "--max-steps", 5))
    plain, other, bf16 = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "other", "bf16"))
    for key in plain:
        torch.testing.assert_close(plain[key], other[key], rtol=0, atol=1e-12)
        assert bf16[key].dtype == torch.float32
        assert (plain[key] - bf16[key]).abs().max() < 0.02
    check_example(tmp_path / "bf16")
    assert [results_of(tmp_path / name)["precision"] for name in ("plain", "bf16")] == ["fp64", "bf16"]
    assert results_of(tmp_path / "bf16")["hardware"]["device"] == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_dry_run_needs_no_data_and_leaves_nothing(processes: int, tmp_path: Path) -> None:
    """Two steps on made-up images, memory and rate."""
    options = ["--recipe", TINY, "--dry-run", "--output", tmp_path / "run"]
    done = succeed(command("train", *options, processes=processes))
    assert f"in {processes} process(es)" in done.stdout
    assert "step 2: loss 6.9" in done.stdout or "step 2: loss 7" in done.stdout
    assert re.search(
        r"images/s in each process; .* TFLOP/s, MFU \d+%.*the limit is (loading|the net)\npeak memory",
        done.stdout,
        re.S,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_too_few_processes_are_told(tmp_path: Path) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one, silently; the run says so and how to get two."""
    python, *words = train_command(tmp_path / "run", "--max-steps", 1).line
    launcher = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    done = run_line([python, *launcher, *words])
    assert done.returncode == 0, done.stderr[-3000:]
    assert "warning: 2 processes were asked for and 1 started" in done.stderr
    assert "accelerate launch --multi_gpu --num_processes 2" in done.stderr


@pytest.mark.slow
def test_torchrun_starts_it_too(tmp_path: Path) -> None:
    """As users without Accelerate's launcher type it."""
    python, *words = train_command(tmp_path / "run", "--max-steps", 2).line
    done = run_line([python, "-m", "torch.distributed.run", "--nproc-per-node", "2", *words])
    assert done.returncode == 0, done.stderr[-3000:]
    assert results_of(tmp_path / "run")["processes"] == 2


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_no_time_between_checkpoints_is_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is written."""
    with pytest.raises(SystemExit):
        train.parse(["--recipe", TINY, "--data", "digits", "--checkpoint-minutes", minutes])
    assert "--checkpoint-minutes: must be a number above 0" in capsys.readouterr().err
