"""Training nets that predict boxes, and their tests, by the commands that users type; real processes, real files."""

import csv
import json
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import vgg_zoo
from recipes import localise as localise_command
from recipes.data.box_splits import load_box_splits, load_box_test_split
from recipes.data.boxed_images import BoxedImages
from recipes.data.options import DataSource
from recipes.evaluation import boxes
from recipes.evaluation import localise as work
from recipes.evaluation.boxes import FoundBoxes, best_overlap, localisation_errors
from recipes.evaluation.store import Store
from recipes.recipe import load_recipe
from recipes.training.beginning import copy_all_but_last
from recipes.training.boxes import BoxCrops
from tests.recipes.commands import Command, check_written, command, run, start, succeed
from tests.recipes.data_sets import net_folder
from tests.recipes.pasted import pasted_folder
from vgg_zoo.boxes.frame import Window
from vgg_zoo.images.inputs import net_input
from vgg_zoo.images.preprocessing import rescale

BOXES = "tests/recipes/tiny_boxes.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of digits on photos."""
    return pasted_folder(tmp_path_factory.mktemp("pasted") / "data")


def train(data: Path, output: Path, *options: Any, processes: int = 1) -> Command:
    """The command that trains the tiny net."""
    fixed = ["--recipe", BOXES, "--data", data, "--label-column", "label", "--output", output]
    return command("train", *fixed, *options, processes=processes)


def localise(data: Path, output: Path, *options: Any, processes: int = 1) -> Command:
    """The command that tests."""
    fixed = ["--data", data, "--label-column", "label", "--output", output]
    return command("localise", *fixed, *options, processes=processes)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps, an epoch."""
    output = tmp_path_factory.mktemp("runs") / "boxes"
    succeed(train(data, output, "--max-steps", 6, "--precision", "fp64"))
    return output


def results_of(output: Path) -> dict[str, Any]:
    """results.json."""
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


@pytest.mark.slow
def test_a_run_leaves_a_net_that_predicts_boxes(trained: Path) -> None:
    """timm loads it, metrics.csv has the box error, results.json the first protocol's."""
    net: Any = timm.create_model(f"local-dir:{trained}", pretrained=True)
    assert (type(net), net.regression, net.num_classes) == (vgg_zoo.BoxVGG, "pcr", 10)
    with (trained / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 < float(row["box_error"]) <= 1
    assert 0 < float(row["mean_overlap"]) < 1
    (result,) = results_of(trained)["results"].values()
    assert result["images"] == 60
    assert result["box_error"] == pytest.approx(float(row["box_error"]))
    assert (trained / "learning_curve.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "options"), [(1, ["--device-batch", 7]), (2, ["--workers", 1]), (3, [])])
def test_boxes_are_learned_alike_by_any_number_of_processes(
    processes: int, options: list[Any], data: Path, trained: Path, tmp_path: Path
) -> None:
    """After an epoch in fp64, and the test that follows it, processes and accumulation differ by rounding alone."""
    succeed(train(data, tmp_path / "run", "--max-steps", 6, "--precision", "fp64", *options, processes=processes))
    one, other = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "run"))
    assert max((one[key] - other[key]).abs().max().item() for key in one) <= 1e-12
    (found,), (expected,) = (results_of(folder)["results"].values() for folder in (tmp_path / "run", trained))
    assert found["box_error"] == expected["box_error"]
    assert found["mean_overlap"] == pytest.approx(expected["mean_overlap"])


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch; the same command resumes, with the same weights to the last bit."""
    options = ["--max-steps", 9, "--checkpoint-every", 2]
    succeed(train(data, tmp_path / "whole", *options))
    words = train(data, tmp_path / "killed", *options)
    process = start(words)
    for _ in range(1200):
        if list((tmp_path / "killed").glob("checkpoints/step-*")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "results.json").exists()
    succeed(words)
    digests = [results_of(tmp_path / name)["weights_sha256"] for name in ("whole", "killed")]
    assert digests[0] == digests[1]


def test_crops_show_the_object_and_its_box(data: Path) -> None:
    """Every training crop holds the box's centre; a key gives the same crop and box however often it is asked for."""
    training, _, left_out = load_box_splits_of(data)
    assert left_out == []
    crops = BoxCrops(training, load_recipe(BOXES))
    keys = [(epoch, index) for epoch in range(3) for index in range(0, 300, 7)]
    items = crops.__getitems__(keys)
    targets = torch.stack([item.box for item in items])
    assert (targets[:, :2].abs() <= 0.5 + 1e-6).all()
    assert (targets[:, 2:] > 0).all()
    again = crops.__getitems__(keys[:5])
    assert all(
        torch.equal(a.pixels, b.pixels) and torch.equal(a.box, b.box) for a, b in zip(items, again, strict=False)
    )
    assert len({item.pixels.numpy().tobytes() for item in items}) > 0.9 * len(items)


def load_box_splits_of(data: Path) -> tuple[BoxedImages, BoxedImages, Any]:
    """The splits, with the column of labels named."""
    return load_box_splits(DataSource(spec=str(data), label_column="label"))


def test_the_last_layer_alone_is_new(tmp_path: Path) -> None:
    """A net that predicts boxes begins with all other layers of the classifier (Appendix A)."""
    small = {"width_multiplier": 0.1, "head_hidden_size": 16, "head_kernel_size": 1, "num_classes": 3}
    classifier, net = timm.create_model("vgg_d", **small), timm.create_model("vgg_d_box", **small)
    before = net.head.fc.weight.clone()
    copy_all_but_last(net, classifier)
    theirs = classifier.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items() if "head" not in key)
    assert torch.equal(net.head.fc.weight, before)
    with pytest.raises(ValueError, match="do not fit configuration D"):
        copy_all_but_last(net, timm.create_model("vgg_a", **small))


def test_a_predicted_box_ends_where_the_image_does() -> None:
    """A box of the image's size around its right border fits an object that fills the right half."""
    window, objects = Window(height=32, width=32, side=32), torch.tensor([[0.5, 0, 1, 1]])
    item = boxes.TestedBox(torch.zeros(3, 32, 32, dtype=torch.uint8), 0, window, objects, None)
    assert best_overlap(item, torch.tensor([0.5, 0.0, 1.0, 1.0])) == 1
    assert best_overlap(item, torch.tensor([0.25, 0.25, 0.5, 2.0])) == 1
    assert best_overlap(item, torch.tensor([1.5, 0.0, 1.0, 1.0])) == 0


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, in plain arithmetic."""
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    common = max(width, 0) * max(height, 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common)


def slow_box_error(folder: Path, split: BoxedImages, scale: int) -> float:
    """Protocol 1 image by image: the middle of the rescaled image, plain arithmetic."""
    net: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    wrong = 0
    for index in range(len(split)):
        row = split.rows[index]
        pixels = split.pixels(index)
        height, width = pixels.shape[:2]
        whole = rescale(pixels, scale)
        h, w = whole.shape[1:]
        top, left = round((h - 32) / 2), round((w - 32) / 2)
        crop = whole[None, :, top : top + 32, left : left + 32]
        with torch.inference_mode():
            cx, cy, bw, bh = net(net_input(net, crop))[0].view(10, 4)[row["label"]].tolist()
        x, y = (left + 16 + 32 * cx) / w * width, (top + 16 + 32 * cy) / h * height
        bw, bh = max(0, bw) * 32 / w * width, max(0, bh) * 32 / h * height
        box = [max(0, x - bw / 2), max(0, y - bh / 2), min(width, x + bw / 2), min(height, y + bh / 2)]
        wrong += not any(overlap(box, other) > 0.5 for other in row["boxes"])
    return wrong / len(split)


@pytest.mark.slow
def test_protocol_1_is_the_slow_reference(data: Path, trained: Path, tmp_path: Path) -> None:
    """Error and count, by one process and by two."""
    expected = slow_box_error(trained, load_box_splits_of(data)[1], 40)
    for processes in (1, 2):
        output = tmp_path / str(processes)
        asked = localise(data, output, "--protocol", 1, "--net", trained, processes=processes)
        for done in (False, True):
            said = succeed(asked).stdout
            check_written(said, output)
            assert ("already done" in said) == done
        results = results_of(output)
        assert results["results"]["box_error"] == pytest.approx(expected, abs=1.01 / 60)
        assert results["results"]["images"] == 60
        assert results["nets"][0]["scales"] == [40]
        assert (results["nets"][0]["regression"], results["nets"][0]["trainable"]) == ("pcr", "all")


@pytest.mark.slow
def test_protocol_2_counts_every_image_and_survives_a_kill(data: Path, trained: Path, tmp_path: Path) -> None:
    """Two nets with their own scales; the result is the Localiser's; damaged images and boxes are errors."""
    data = Path(shutil.copytree(data, tmp_path / "data"))
    classifier = net_folder(tmp_path / "classifier", num_classes=10)
    for name in ("0003.png", "0010.png"):
        (data / "validation" / name).write_bytes(b"no image")
    words = ["--net", trained, 40, "--net", trained, 40, 48, "--classifier", classifier]
    done = succeed(localise(data, tmp_path / "one", *words, processes=1))
    assert re.search(r"^unusable +2, which count as errors$", done.stdout, re.MULTILINE)
    check_written(done.stdout, tmp_path / "one")
    again = succeed(localise(data, tmp_path / "one", *words, processes=1)).stdout
    assert f"already done: {tmp_path / 'one'} is finished" in again
    results = results_of(tmp_path / "one")
    assert (results["data"]["images"], results["data"]["unusable_images"]) == (60, 2)
    assert [net["scales"] for net in results["nets"]] == [[40], [40, 48]]
    store = Store(tmp_path / "one" / "boxes", 60, FoundBoxes)
    found = store.read_all()
    assert found.found[3].isnan().all()
    nets = [timm.create_model(f"local-dir:{trained}", pretrained=True) for _ in range(2)]
    localiser = vgg_zoo.Localiser(nets, str(classifier), [[40], [40, 48]])
    for index in (0, 1, 20):
        pixels = np.asarray(Image.open(data / "validation" / f"{index:04}.png").convert("RGB"))
        guesses = localiser(pixels)
        boxes = found.found[index, :, 2:] * torch.tensor([pixels.shape[1], pixels.shape[0]] * 2)
        torch.testing.assert_close(
            boxes, torch.tensor([g.box for g in guesses], dtype=torch.float64), atol=0.05, rtol=0
        )
    errors = localisation_errors(found.found, found.labels, found.truth)
    assert errors.error == results["results"]["error"]
    (tmp_path / "one" / "boxes" / "00000.safetensors").write_bytes(b"cut")
    (tmp_path / "one" / "results.json").unlink()
    succeed(localise(data, tmp_path / "one", *words, processes=2))
    assert results_of(tmp_path / "one")["results"] == results["results"]


def test_errors_are_counted_as_ilsvrc_does() -> None:
    """Right class and box; right class, wrong box; right box of another class; half is not enough; nothing to find."""
    guess = [[3, 0.9, 0, 0, 1, 1], [5, 0.1, 0, 0, 0.5, 1]]
    found = torch.tensor([guess] * 6, dtype=torch.float64)
    labels = torch.tensor([3, 5, 5, 7, 3, 3])
    truth = [
        [[0, 0, 1, 0.9]],
        [[0.0, 0.0, 0.5, 0.9]],
        [[0, 0, 1, 1.0]],
        [[0, 0, 1, 1]],
        [],
        [[0.9, 0.9, 1, 1], [0, 0, 0.51, 1.0]],
    ]
    errors = localisation_errors(found, labels, truth)
    assert errors.error == pytest.approx(1 - 3 / 6)
    assert errors.top1_error == pytest.approx(1 - 2 / 6)
    assert errors.class_error == pytest.approx(1 - 4 / 6)
    assert errors.images == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "runs/x", "4x"], "--model takes a folder or name, then test scales"),
        (["--net", "runs/x"], "--protocol 2 needs --classifier"),
        (["--net", "runs/x", "--protocol", "1", "--classifier", "y"], "the class is given"),
        (["--net", "runs/nowhere", "--protocol", "1"], "there is no net 'runs/nowhere'"),
        (["--net", "vgg_d.tv_in1k", "--protocol", "1", "--close", "x"], "--close: must be a number from 0 to 1; got x"),
    ],
)
def test_a_mistake_is_named(options: list[str], message: str, data: Path, tmp_path: Path) -> None:
    """In one line, with nothing left behind."""
    done = run(localise(data, tmp_path / "out", *options))
    assert done.returncode != 0
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_set_without_boxes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The digits have none."""
    done = run(command("train", "--recipe", BOXES, "--data", "digits", "--output", tmp_path / "run"))
    assert done.returncode == 1
    assert "no column of boxes" in done.stderr
    assert "--box-column" in done.stderr


def test_a_test_split_alone_will_do(data: Path) -> None:
    """A set need not have training images to be tested on."""
    split = load_box_test_split(DataSource(spec=str(data), label_column="label"))
    assert len(split) == 60


@pytest.mark.slow
def test_an_image_of_no_class_is_an_error_by_both_protocols(data: Path, trained: Path, tmp_path: Path) -> None:
    """Unknown classes cannot be found; other options for the boxes are another test."""
    data = Path(shutil.copytree(data, tmp_path / "data"))
    file = data / "validation" / "metadata.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows[:30]:
        row["label"] = -1
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    classifier = net_folder(tmp_path / "classifier", num_classes=10)
    options = {1: ["--net", trained], 2: ["--net", trained, 40, "--classifier", classifier]}
    for protocol, words in options.items():
        output = tmp_path / str(protocol)
        succeed(localise(data, output, "--protocol", protocol, *words))
        results = results_of(output)
        assert results["data"]["unusable_images"] == 30
        assert results["results"]["images"] == 60
        assert results["results"]["box_error" if protocol == 1 else "error"] >= 0.5
    done = run(localise(data, tmp_path / "2", "--protocol", 2, *options[2], "--box-format", "xywh"))
    assert done.returncode == 1
    assert "columns.box_format is 'xyxy' there and 'xywh' now" in done.stderr


@pytest.mark.slow
def test_problems_tell_the_index_among_all_images(tmp_path: Path) -> None:
    """Also after images without boxes were left out."""
    data = pasted_folder(tmp_path / "data", training=6, validation=1)
    file = data / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[1]["boxes"] = []
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    (data / "train" / "0004.png").write_bytes(b"no image")
    training, _, left_out = load_box_splits_of(data)
    assert [problem.index for problem in left_out] == [1]
    found = training.read_boxed_or_next(range(5))
    assert [boxed.problem.index for boxed in found if boxed.problem] == [4]


def test_all_nets_are_computed_in_the_commands_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Box nets and classifiers."""
    asked: list[Any] = []
    for name in ("DenseEvaluator", "Localiser", "Fusion"):
        monkeypatch.setattr(work, name, lambda *given, **how: asked.append(how))
    options = ["--model", "a", "64", "--protocol", "2", "--classifier", "b", "c", "--data", "digits", "--output", "out"]
    args = localise_command.parse(options)
    args.copy_precision = "bf16"
    work.make_localiser(args)
    assert [how["precision"] for how in asked if how] == ["bf16"] * 3
