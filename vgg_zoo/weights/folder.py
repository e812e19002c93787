"""Writing a folder for timm: `model.safetensors` and `config.json`, as read by `local-dir:` and the Hub."""

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models import save_for_hf
from torch import nn

from vgg_zoo.model import outputs_of
from vgg_zoo.weights.files import naming_full_disk

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save_folder(
    model: nn.Module,
    folder: Path,
    *,
    tag: str,
    licence: str | None,
    mean: Sequence[float],
    deviation: Sequence[float] = (1.0, 1.0, 1.0),
    input_size: tuple[int, int, int],
    crop_pct: float,
    class_names: Sequence[str] | None = None,
    description: str | None = None,
) -> None:
    """Write weights and config so that `timm.create_model("local-dir:FOLDER", pretrained=True)` gives this net.

    Both files are first written under another name, which is removed after an error. No file is a pickle.

    Args:
        model: A net made by `timm.create_model`, on any device, in any memory format.
        folder: The folder; it is created if it is missing.
        tag: Name of these weights. Without it, timm would use the tag of the weights that the net started from.
        licence: Licence of these weights; None leaves it out.
        mean: RGB in 0–255; the net takes RGB minus this mean.
        deviation: Divisor after the subtraction, in 0–255. It is 1 for the paper's nets, in timm's terms 1/255.
        input_size: (channels, height, width) of a training crop.
        crop_pct: Crop size over the scale Q of the single-crop test.
        class_names: Names in the order of the net's outputs.
        description: A sentence on the origin of the weights.

    Raises:
        ValueError: timm could not create the net again by its name, because its last layer is no single `nn.Linear`; or
            there is not a name for each class.
    """
    classes = _classes_of(model)
    if class_names and len(class_names) != classes:
        raise ValueError(f"{len(class_names)} class names for a net with {classes} classes")
    settings: dict[str, Any] = {
        "tag": tag,
        "license": licence,
        "description": description,
        "origin_url": None,
        "mean": tuple(value / 255 for value in mean),
        "std": tuple(value / 255 for value in deviation),
        "input_size": input_size,
        "crop_pct": crop_pct,
    }
    _write(model, folder, settings, list(class_names or ()) or None, classes)


def _write(model: nn.Module, folder: Path, settings: dict[str, Any], names: list[str] | None, classes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writing = folder / ".writing"
    try:
        with naming_full_disk(folder / WEIGHTS):
            _write_within(writing, model, settings, names, classes)
            for name in (WEIGHTS, CONFIG):
                (writing / name).replace(folder / name)
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def _write_within(
    writing: Path, model: nn.Module, settings: dict[str, Any], names: list[str] | None, classes: int
) -> None:
    save_for_hf(
        _contiguous(model),
        str(writing),
        model_config={"pretrained_cfg": settings, "label_names": names},
        data_config={key: settings[key] for key in ("mean", "std", "input_size", "crop_pct")},
        safe_serialization=True,
    )
    config = json.loads((writing / CONFIG).read_text())
    # transformers' TimmWrapper passes num_classes itself and fails on a second one.
    config.get("model_args", {}).pop("num_classes", None)
    config["num_classes"] = classes  # timm writes the value that the net was created with
    config["pretrained_cfg"] = {key: value for key, value in config["pretrained_cfg"].items() if value is not None}
    (writing / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    (writing / WEIGHTS).chmod((writing / CONFIG).stat().st_mode)  # safetensors makes it readable only by its owner


def _classes_of(model: Any) -> int:
    """The present number of classes of a net, whose last layer may have been replaced."""
    fc = getattr(model.head, "fc", None)
    if getattr(model, "predicts", "classes") != "classes":
        return int(model.num_classes)
    if outputs_of(model) and not isinstance(fc, nn.Linear):
        raise ValueError(
            f"the last layer is a {type(fc).__name__}: timm creates nets with one nn.Linear there, and could not load "
            "the folder. Save the net's state_dict() instead, or keep one nn.Linear"
        )
    return outputs_of(model)


def _contiguous(model: nn.Module) -> Any:
    """A copy of the net for safetensors, on the CPU and contiguous; the caller's net does not change."""
    if all(value.is_cpu and value.is_contiguous() for value in model.state_dict().values()):
        return model
    saved: Any = copy.deepcopy(model).cpu()  # the types of PyTorch 2.8 do not know `to(memory_format=...)`
    return saved.to(memory_format=torch.contiguous_format)
