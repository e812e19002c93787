"""The settings for evaluating a net: those stored beside its weights, or those that follow from its training, or the
paper's (Sect. 4.2).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from timm.models import get_pretrained_cfg
from torch import nn

from vgg_zoo.json_files import read_json
from vgg_zoo.results import RESULTS, reading, training_of
from vgg_zoo.weights.hub_file import optional_file
from vgg_zoo.weights.published import PUBLISHED

SETTINGS_FILE = "dense_eval.json"
"""Settings file of a classifier."""

LOCALISE_FILE = "localise.json"
"""Settings file of a net that predicts boxes (Appendix A)."""

_KINDS = {"scales": list, "flip": bool, "protocol": str, "softmax_first": bool, "ceil_mode": bool}
_BOX_KINDS = {"scales": list, "close": float, "ceil_mode": bool}


def read_settings(file: Path) -> dict[str, Any]:
    """The evaluator's arguments from a file of `DenseEvaluator.save_pretrained`.

    Raises:
        ValueError: It is not JSON, or has wrong keys or types.
    """
    return _read(file, _KINDS)


def read_localise(file: Path) -> dict[str, Any]:
    """Arguments of `vgg_zoo.Localiser` from the `localise.json` of a published net.

    Returns:
        "scales", Q in pixels; "close", the overlap from 0 to 1 above which boxes are merged; and "ceil_mode".

    Raises:
        ValueError: It is not JSON, or has wrong keys, types or ranges.
    """
    settings = _read(file, _BOX_KINDS)
    scales = settings["scales"]
    if not scales or not all(map(_is_pixels, scales)):
        raise ValueError(f"{file}: scales must be smallest sides in pixels; got {scales!r}")
    if not 0 <= settings["close"] <= 1:
        raise ValueError(f"{file}: close must be an overlap from 0 to 1; got {settings['close']!r}")
    return settings


def _read(file: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    settings = read_json(file, "write it again with DenseEvaluator.save_pretrained, or delete it")
    if not isinstance(settings, dict) or set(settings) != set(kinds):
        got = sorted(settings) if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(f"{file} must have exactly the keys {', '.join(kinds)}; it has {got}")
    for key, kind in kinds.items():
        if not isinstance(settings[key], kind):
            raise ValueError(f"{file}: {key} must be a {kind.__name__}; got {settings[key]!r}")
    return settings


Net = nn.Module | str | Path
"""A net, a folder, or a name that timm loads: "vgg_d.tv_in1k", "hf-hub:org/name", "local-dir:runs/d"."""

PAPER = {"scales": (256, 384, 512), "flip": True, "protocol": "dense", "softmax_first": False, "ceil_mode": False}
"""Sect. 4.2's scales after training with S in [256; 512], and the paper's other settings."""


@dataclass(frozen=True, slots=True)
class UsualSettings:
    """The default settings for testing a net.

    Attributes:
        values: All arguments of `DenseEvaluator`.
        source: Their source: the name of a file beside the weights, or "the paper".
        train_scales: The S of the net's training, [S] or [S_min, S_max]; None if unknown.
    """

    values: Mapping[str, Any]
    source: str
    train_scales: list[int] | None


def usual_settings(net: Net) -> UsualSettings:
    """The settings of a classifier: those in its `dense_eval.json`, or those that follow from its training, or PAPER.

    Args:
        net: The net. If it was loaded from a folder or the Hub, it knows its source.

    Raises:
        ValueError: A file is not valid.
    """
    run = run_settings(net)
    trained = sorted(set(run.get("train_scales", ()))) or None
    file = file_beside(net, SETTINGS_FILE)
    if file is not None:
        return UsualSettings(read_settings(file), SETTINGS_FILE, trained)
    if trained and {"crop_size", "flip"} <= run.keys():
        found = {"scales": scales_after_training(trained, run["crop_size"]), "flip": run["flip"]}
        return UsualSettings(PAPER | found, RESULTS, trained)
    return UsualSettings(PAPER, "the paper", trained)


def settled(given: Mapping[str, Any], net: Net) -> tuple[dict[str, Any], str]:
    """Complete settings from those that are given, and the source of the others.

    Args:
        given: Settings by name; None takes the net's default.
        net: The net; it is used only if a setting is missing.
    """
    if None not in given.values():
        return dict(given), "the caller"
    usual = usual_settings(net)
    return {name: usual.values[name] if value is None else value for name, value in given.items()}, usual.source


def localise_settings(net: Net) -> dict[str, Any]:
    """The content of the `localise.json` beside a net's weights; empty if there is none.

    Raises:
        ValueError: It is not valid.
    """
    file = file_beside(net, LOCALISE_FILE)
    return read_localise(file) if file else {}


def run_settings(net: Net) -> dict[str, Any]:
    """The recipe in the results.json of a training's folder; empty for any other folder or name."""
    folder = folder_of(net)
    training = training_of(folder) if folder else None
    settings: dict[str, Any] = (training["settings"] or {}) if training else {}
    if training:
        with reading(folder, "training"):
            _check_settings(settings)
    return settings


def _check_settings(settings: Mapping[str, Any]) -> None:
    """The settings that are used from a recipe, if it has them."""
    scales, crop, flip = settings.get("train_scales", [1]), settings.get("crop_size", 1), settings.get("flip", True)
    if not isinstance(scales, list) or not 1 <= len(scales) <= 2 or not all(map(_is_pixels, scales)):
        raise ValueError(f"settings.train_scales must be S, or S_min and S_max, in pixels; got {scales!r}")
    if not _is_pixels(crop) or not isinstance(flip, bool):
        raise ValueError(f"settings must have a crop_size in pixels and a flip, true or false; got {crop!r}, {flip!r}")


def _is_pixels(value: Any) -> bool:
    return type(value) is int and value > 0


def file_beside(net: Net, name: str) -> Path | None:
    """A file beside a net's weights, in its folder or its repository; None if there is none.

    If the Hub cannot be reached, a warning says that this is unknown.
    """
    place, folder = _place(net), folder_of(net)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    published = f"{place.get('architecture')}.{place.get('tag')}" in PUBLISHED
    if place.get("source") != "hf-hub" and not published:  # timm's own repositories have no such files
        return None
    repository, _, revision = str(place["hf_hub_id"]).partition("@")
    try:
        return _asked_once(repository, name, revision or None)
    except OSError as error:
        warnings.warn(
            f"cannot check whether {repository} has a {name}; assuming that it has none ({error})", stacklevel=4
        )
        return None


@lru_cache
def _asked_once(repository: str, name: str, revision: str | None) -> Path | None:
    """Cache the answer, because an estimator asks in every call."""
    return optional_file(repository, name, revision)


def _place(net: Net) -> Mapping[str, Any]:
    """The source of a net, in the terms of timm's pretrained_cfg."""
    if isinstance(net, nn.Module):
        return getattr(net, "pretrained_cfg", None) or {}
    source, _, name = str(net).rpartition(":")
    if source == "local-dir" or Path(net).is_dir():
        return {"source": "local-dir", "file": name if source == "local-dir" else str(net)}
    if source:
        return {"source": source, "hf_hub_id": name}
    cfg = get_pretrained_cfg(name) if name else None
    return cfg.to_dict() if cfg else {}


def folder_of(net: Net) -> Any:
    """The folder that a net was loaded from; None if there is none."""
    place = _place(net)
    folder = Path(str(place.get("file") or ""))
    return folder if place.get("source") == "local-dir" and folder.is_dir() else None


def scales_after_training(trained: Sequence[int], crop_size: int) -> list[int]:
    """Q of Sect. 4.2: {S - 32, S, S + 32} after training at a fixed S, {S_min, their mean, S_max} after jittering.

    For crops smaller than 224 pixels, the step of 32 is reduced in proportion.
    """
    if len(trained) == 2:
        return [trained[0], sum(trained) // 2, trained[1]]
    step = max(1, crop_size // 7)
    return sorted({max(crop_size, trained[0] + change) for change in (-step, 0, step)})
