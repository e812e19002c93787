"""The evaluation command as users type it: figures, processes, kills, classes, and what may be wrong."""

import json
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.metrics import top_k_accuracy_score

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.evaluation.net import NetUnderTest
from recipes.evaluation.scores import Scores, score_store
from recipes.evaluation.store import CHUNK
from recipes.runtime.output_folder import OutputFolder
from tests.recipes.commands import check_written, command, run, run_elsewhere, start, succeed
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.weights.folder import save_folder

SCALES = ("--scales", "32", "48")
needs_bf16 = pytest.mark.skipif(bf16_of_cpu() is None, reason="the CPU has neither AMX nor AVX512-BF16")


def save_net(folder: Path, names: list[str], seed: int = 0) -> Path:
    """A folder as a run leaves it, of a very small net with random weights."""
    torch.manual_seed(seed)
    small = {"width_multiplier": 0.07, "head_hidden_size": 32, "head_kernel_size": 1}
    net: Any = timm.create_model("vgg_a", num_classes=len(names), **small)
    save_folder(
        net, folder, tag="t", licence=None, mean=(99, 99, 99), input_size=(3, 32, 32), crop_pct=0.8, class_names=names
    )
    return folder


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net of ten digits."""
    return save_net(tmp_path_factory.mktemp("net"), list("0123456789"))


@pytest.fixture(scope="module")
def tested(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net's test on the held-out digits, in one process."""
    output = tmp_path_factory.mktemp("tested") / "out"
    done = succeed(command("evaluate", "--model", net, "--data", "digits", "--output", output, *SCALES))
    check_written(done.stdout, output)
    return output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images of three classes, of mixed sizes, one of them a text that ends in .png."""
    generator = np.random.default_rng(0)
    for place in range(12):
        folder = tmp_path / "photos" / "abc"[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = generator.integers(20, 90, 2)
        Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(folder / f"{place:02}.png")
    (tmp_path / "photos" / "b" / "04.png").write_text("no image")
    return tmp_path / "photos"


def results_of(folder: Path) -> dict[str, Any]:
    """What a command left."""
    return json.loads((folder / "results.json").read_text())


def scores_of(folder: Path) -> Scores:
    """The posteriors that a command kept."""
    return score_store(OutputFolder(folder), results_of(folder)["data"]["images"]).read_all()


def test_the_figures_are_scikit_learns(tested: Path) -> None:
    """Errors recomputed from the dumped posteriors are the same, and every image is counted."""
    results, scores = results_of(tested), scores_of(tested)
    assert results["results"]["images"] == len(scores) == 360
    for name, k in (("top1", 1), ("top5", 5)):
        right = top_k_accuracy_score(scores.labels.numpy(), scores.posteriors.numpy(), k=k, labels=range(10))
        low, high = results["results"][f"{name}_interval"]
        assert results["results"][name] == pytest.approx(1 - right, abs=1e-12)
        assert low < 1 - right < high
    assert torch.allclose(scores.posteriors.sum(1), torch.ones(360), atol=1e-6)


def test_a_finished_test_given_again_says_so(net: Path, tested: Path) -> None:
    """And how to do it again; nothing is written, and what is there is listed."""
    before = {file: file.stat().st_mtime_ns for file in tested.rglob("*")}
    done = succeed(command("evaluate", "--model", net, "--data", "digits", "--output", tested, *SCALES))
    sentence = f"already done: {tested} is finished; --overwrite does it again, another --output beside it"
    assert sentence in done.stdout.splitlines()
    assert {file: file.stat().st_mtime_ns for file in tested.rglob("*")} == before
    check_written(done.stdout, tested)


def test_the_posteriors_are_the_wrappers(net: Path, tested: Path) -> None:
    """The command computes what `DenseEvaluator` computes, image by image."""
    from recipes.data.splits import load_splits

    evaluator, split = DenseEvaluator(f"local-dir:{net}", scales=(32, 48)), load_splits("digits")[1]
    alone = torch.cat([evaluator([split.pixels(index)]) for index in (0, 100, 359)])
    assert torch.allclose(scores_of(tested).posteriors[[0, 100, 359]], alone, atol=1e-6)


@needs_bf16
def test_bf16_on_a_cpu_is_a_copys(net: Path, tested: Path, tmp_path: Path) -> None:
    """The evaluator's own bits, near those of float32; results say so."""
    from recipes.data.splits import load_splits

    options = ["--model", net, "--data", "digits", *SCALES, "--precision", "bf16", "--output", tmp_path / "out"]
    succeed(command("evaluate", *options))
    results, found = results_of(tmp_path / "out"), scores_of(tmp_path / "out").posteriors
    assert (results["nets"][0]["arithmetic"], results["nets"][0]["scales"]) == ("bf16", [32, 48])
    assert torch.allclose(found, scores_of(tested).posteriors, atol=2e-2)
    evaluator, split = DenseEvaluator(f"local-dir:{net}", (32, 48), precision="bf16"), load_splits("digits")[1]
    assert torch.allclose(found[:3], evaluator([split.pixels(index) for index in range(3)]), atol=1e-5)


@pytest.mark.slow
def test_results_say_how_the_net_was_computed(net: Path, tested: Path, tmp_path: Path) -> None:
    """By the fast copy, or exactly; scores of the one are not mixed with the other's, which differ by rounding."""
    options = ["--model", net, "--data", "digits", *SCALES, "--exact", "--output"]
    succeed(command("evaluate", *options, tmp_path / "exact"))
    for folder, arithmetic in ((tested, "winograd"), (tmp_path / "exact", "exact")):
        assert results_of(folder)["nets"][0]["arithmetic"] == arithmetic
    assert torch.allclose(scores_of(tested).posteriors, scores_of(tmp_path / "exact").posteriors, atol=1e-5)
    shutil.copytree(tested, tmp_path / "copy")
    done = run(command("evaluate", *options, tmp_path / "copy"))
    assert done.returncode
    assert "--overwrite" in done.stderr


@pytest.mark.slow
def test_two_processes_and_workers_give_the_same_bits(net: Path, tested: Path, tmp_path: Path) -> None:
    """Which process scores an image, and who decodes it, changes nothing."""
    options = ["--model", net, "--data", "digits", "--output", tmp_path / "out", *SCALES, "--workers", "1"]
    done = succeed(command("evaluate", *options, processes=2))
    assert "2 process(es)" in done.stdout
    one, two = scores_of(tested), scores_of(tmp_path / "out")
    for name in ("posteriors", "labels", "images"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert results_of(tested)["results"] == results_of(tmp_path / "out")["results"]


@pytest.mark.slow
def test_a_folder_that_machines_do_not_share_is_refused(net: Path, tmp_path: Path) -> None:
    """Before any work is done: process 0 would miss what another machine writes."""
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    asked = command("evaluate", "--model", net, "--data", "digits", "--output", output, *SCALES)
    at_once = "from recipes.runtime import shared_folder; shared_folder.PATIENCE = 0"
    done = run_elsewhere(asked, elsewhere, at_once)
    assert done.returncode
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: process 1 does not see what process 0 wrote into {elsewhere / 'scores'}: ")
    assert "it must be a folder that all machines share" in line
    assert not elsewhere.exists()
    assert not list((output / "scores").iterdir())


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_bits(net: Path, tested: Path, tmp_path: Path) -> None:
    """SIGKILL after the first chunk: the next command keeps that chunk, computes the others, and all are equal."""
    arguments = command("evaluate", "--model", net, "--data", "digits", "--output", tmp_path / "out", *SCALES)
    first = tmp_path / "out" / "scores" / "00000.safetensors"
    process = start(arguments)
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out" / "results.json").exists()
    written = first.stat().st_mtime_ns
    done = succeed(arguments)
    assert f"{CHUNK}/360" in done.stderr  # the progress bar begins where the killed command was
    assert first.stat().st_mtime_ns == written
    assert torch.equal(scores_of(tested).posteriors, scores_of(tmp_path / "out").posteriors)


@pytest.mark.slow
def test_kept_scores_are_used_again_and_damaged_ones_are_not(net: Path, tested: Path, tmp_path: Path) -> None:
    """The same command again runs no image through the net; a chunk with a flipped byte is computed again."""
    output = tmp_path / "out"
    shutil.copytree(tested, output)
    options = ["--model", net, "--data", "digits", "--output", output, *SCALES]
    files = sorted((output / "scores").iterdir())
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    succeed(command("evaluate", *options))
    assert [(file.stat().st_mtime_ns, file.read_bytes()) for file in files] == before
    damaged = bytearray(before[1][1])
    damaged[-100] ^= 1
    files[1].write_bytes(damaged)
    done = succeed(command("evaluate", *options, "--no-keep-scores"))
    check_written(done.stdout, output)
    assert not (output / "scores").exists()
    assert results_of(output)["results"] == results_of(tested)["results"]
    assert "already done" not in done.stdout


@pytest.mark.slow
def test_what_keeps_no_scores_is_not_computed_again_either(net: Path, tmp_path: Path) -> None:
    """The same words find results.json; others, as with another order of the classes, compute."""
    output = tmp_path / "out"
    options = ["--model", net, "--data", "digits", "--output", output, *SCALES, "--no-keep-scores"]
    for more, done in (([], False), ([], True), (["--workers", 1], False)):
        said = succeed(command("evaluate", *options, *more)).stdout
        assert ("already done" in said) == done
        check_written(said, output)
        assert not (output / "scores").exists()


@pytest.mark.slow
def test_an_image_that_cannot_be_decoded_is_named_counted_and_an_error(tmp_path: Path, photos: Path) -> None:
    """The test continues with the other images; --strict stops, even if the scores exist already."""
    save_net(tmp_path / "net", ["a", "b", "c"])
    options = ["--model", tmp_path / "net", "--data", photos, "--validation-split", "train", *SCALES]
    done = succeed(command("evaluate", *options, "--output", tmp_path / "out"))
    results, scores = results_of(tmp_path / "out"), scores_of(tmp_path / "out")
    assert re.search(r"^unreadable +1, which count as errors$", done.stdout, re.MULTILINE)
    check_written(done.stdout, tmp_path / "out")
    assert results["data"]["unreadable_images"] == 1
    assert results["results"]["images"] == 12
    assert "04.png" in (tmp_path / "out" / "bad_images.csv").read_text()
    lost = scores.posteriors.isnan().any(1)
    assert lost.sum() == 1
    assert lost.nonzero().item() == scores.problems[0].index
    right = (scores.posteriors.argmax(1) == scores.labels) & ~lost
    assert results["results"]["top1"] == pytest.approx(1 - right.sum().item() / 12)
    for output in ("out", "strict"):
        stopped = run(command("evaluate", *options, "--output", tmp_path / output, "--strict"))
        assert stopped.returncode == 1
        assert "error: " in stopped.stderr
        assert "04.png" in stopped.stderr
        assert "Traceback" not in stopped.stderr


@pytest.mark.slow
def test_a_submission_for_images_without_labels(tmp_path: Path, photos: Path) -> None:
    """A flat folder: five classes a line, in the numbering of the class-index file, and no errors to report."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in sorted(photos.rglob("*.png")):
        shutil.copy(file, flat)
    save_net(tmp_path / "net", ["a", "b", "c", "d", "e", "f"])
    (tmp_path / "index.txt").write_text("f\ne\nd\nc\nb\na\n")
    options = ["--model", tmp_path / "net", "--data", flat, "--unlabelled", "--class-index", tmp_path / "index.txt"]
    submitted = tmp_path / "top5.txt"
    done = succeed(command("evaluate", *options, *SCALES, "--output", tmp_path / "out", "--submission", submitted))
    check_written(done.stdout, tmp_path / "out", submitted)
    lines = [list(map(int, line.split())) for line in submitted.read_text().splitlines()]
    scores = scores_of(tmp_path / "out")
    assert results_of(tmp_path / "out")["results"] is None
    assert len(lines) == 12
    for place, line in enumerate(lines):
        ranked = [1, 2, 3, 4, 5] if place == 4 else (6 - scores.posteriors[place].topk(5).indices).tolist()
        assert line == ranked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "densse"], "unknown --protocol 'densse'; choose from dense, multi_crop, multi_crop_and_dense"),
        (["--scales", "31"], "--scales: must be a whole number of at least 32; got 31"),
        (["--data", "nowhere"], "cannot load the data set 'nowhere'"),
        (["--validation-split", "valid"], "no split named 'valid'; it has train"),
        (["--class-index", "no.txt"], "no file 'no.txt'"),
        (["--submission", "nowhere/top5.txt"], "there is no folder nowhere"),
        (["--submission", "README.md"], "README.md is there already"),  # as in a job of several machines: found late
        (["--scales", "64"], "net.scales is [32, 48] there and [64] now"),
        (["--precision", "bf16", "--exact"], "precision is 'fp32' there and 'bf16' now"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_told_before_any_work(
    net: Path, tested: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    """One line that names the value and the way out; existing files do not change."""
    before = sorted(file.name for file in (tested / "scores").iterdir())
    done = run(command("evaluate", "--model", net, "--data", "digits", "--output", tested, *SCALES, *options))
    assert done.returncode == (2 if message.startswith(("unknown --", "--scales:")) else 1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(file.name for file in (tested / "scores").iterdir()) == before


@pytest.mark.parametrize("script", ["evaluate", "fuse"])
def test_the_folder_of_a_net_is_never_overwritten(net: Path, tested: Path, tmp_path: Path, script: str) -> None:
    """--output and --model mixed up must not cost a training, nor one that is still running."""
    begun = tmp_path / "begun" / "checkpoints"
    begun.mkdir(parents=True)
    (begun.parent / "run.json").write_text("{}")
    options = ["--model", net, "--data", "digits"] if script == "evaluate" else [tested]
    for output in (net, begun.parent):
        done = run(command(script, *options, "--output", output, "--overwrite"))
        assert done.returncode == 1
        assert "is the folder of a net or of its training" in done.stderr
    assert (net / "model.safetensors").exists()
    assert begun.is_dir()


@pytest.mark.slow
def test_timms_nets_are_named_as_the_paper_names_them() -> None:
    """By their convolutions; those with batch normalisation are none of the paper's."""
    for name, expected in (("vgg11", "A"), ("vgg16", "D"), ("vgg16_bn", None)):
        evaluator = DenseEvaluator(timm.create_model(name))
        assert NetUnderTest(name, evaluator, None).description()["configuration"] == expected
