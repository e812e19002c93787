"""A folder of a net with results, as recipes leave it, in a second: made up but for the weights and their hash."""

import json
from pathlib import Path
from typing import Any

import torch

from hub.build import build
from hub.repository.address import parse_address
from tests.helpers import small
from vgg_zoo import DenseEvaluator
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.entrypoints import predicts
from vgg_zoo.results import VERSION
from vgg_zoo.weights.files import file_digest
from vgg_zoo.weights.folder import save_folder

REPOSITORY, BOXES = "org/vgg_d.made", "org/vgg_d_box.made"


def make_run(folder: Path, name: str = "vgg_d", seed: int = 0, **changes: Any) -> Path:
    """A small net as training leaves it, without its results."""
    torch.manual_seed(seed)
    classes = changes.setdefault("num_classes", 10)
    net = small(name, **changes)
    names = [f"class {number}" for number in range(classes)]
    net.pretrained_cfg["label_names"] = names
    if predicts(name) == "boxes":
        about = {"mean": IMAGENET_MEAN, "input_size": (3, 64, 64), "crop_pct": 64 / 72, "class_names": names}
        save_folder(net, folder, tag="made", licence=None, **about)  # type: ignore[arg-type]
    else:
        DenseEvaluator(net, scales=(64, 96)).save_pretrained(folder)
    return folder


def make_results(folder: Path, run: Path, **changes: Any) -> Path:
    """What recipes/evaluate.py leaves; `changes` of the net's description, of the data's, or of the errors."""
    folder.mkdir(parents=True, exist_ok=True)
    net = {
        "model": str(run),
        "architecture": "vgg_d",
        "configuration": "D",
        "weights_sha256": file_digest(run / "model.safetensors"),
        "train_scales": [64],
        "scales": [64, 96],
        "flip": True,
        "protocol": "dense",
        "softmax_first": False,
        "ceil_mode": False,
    }
    data = {"spec": "made", "split": "validation", "classes": 10, "images": 40, "unreadable_images": 0}
    rates = {"top1": 0.25, "top1_interval": [0.0, 1.0], "top5": 0.05, "top5_interval": [0.0, 1.0], "images": 40}
    for part in (net, data, rates):
        part.update({key: value for key, value in changes.items() if key in part})
    data["images"] = changes.get("images_of_data", data["images"])
    content = {
        **{"version": VERSION, "kind": "classes"},
        "nets": [net] * changes.get("nets", 1),
        "data": data,
        "outputs_of_classes": None,
        "results": None if changes.get("unlabelled") else rates,
        "command": ["python", "recipes/evaluate.py", "--model", str(run.resolve())],
        "commit": "0" * 40,
        "python": "3.11",
        "versions": {"vgg-zoo": "0"},
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def make_box_results(folder: Path, run: Path, protocol: int = 2, **changes: Any) -> Path:
    """What recipes/localise.py leaves; `changes` of the net's description, of the data's, or of the errors."""
    folder.mkdir(parents=True, exist_ok=True)
    net = {
        "model": str(run),
        "architecture": "vgg_d_box",
        "configuration": "D",
        "weights_sha256": file_digest(run / "model.safetensors"),
        "regression": "pcr",
        "trainable": "all",
        "train_scales": [72],
        "scales": [64, 96] if protocol == 2 else [72],
    }
    classifier = {"model": str(run.resolve().parent / "classifier"), "weights_sha256": "2" * 64, "scales": [64]}
    data = {"spec": "made", "split": "validation", "classes": 10, "images": 40, "unusable_images": 0}
    rates = (
        {"box_error": 0.375, "box_error_interval": [0.2, 0.5], "mean_overlap": 0.5, "images": 40}
        if protocol == 1
        else {"error": 0.25, "top1_error": 0.5, "class_error": 0.125, "error_interval": [0.1, 0.4], "images": 40}
    )
    for part in (net, data, rates, classifier):
        part.update({key: value for key, value in changes.items() if key in part and key != "model"})
    content = {
        **{"version": VERSION, "kind": "boxes"},
        "arithmetic": "exact",
        "protocol": protocol,
        "nets": [net] * changes.get("nets", 1),
        "classifiers": [classifier] if protocol == 2 else [],
        "close": changes.get("close", 0.5) if protocol == 2 else None,
        "data": data,
        "results": rates,
        "command": ["python", "recipes/localise.py", "--net", str(run.resolve())],
        "commit": "0" * 40,
        "python": "3.11",
        "versions": {"vgg-zoo": "0"},
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def make_built(folder: Path, seed: int = 0, address: str = REPOSITORY) -> Path:
    """A folder that may be published."""
    net = parse_address(address).net
    run = make_run(folder / f"run{seed}", net, seed)
    results = (make_box_results if predicts(net) == "boxes" else make_results)(folder / f"results{seed}", run)
    output = folder / f"built{seed}"
    build(run, parse_address(address), output, [results], "mit", "a net of the tests", overwrite=True)
    return output
