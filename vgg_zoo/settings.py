"""With which settings a net is evaluated: those kept beside it, or those that follow from its training (Sect. 4.2)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTINGS_FILE = "dense_eval.json"
_KINDS = {"scales": list, "flip": bool, "protocol": str, "softmax_first": bool, "ceil_mode": bool}


def read_settings(file: Path) -> dict[str, Any]:
    """What a file of `DenseEvaluator.save_pretrained` says, as the evaluator's arguments.

    Raises:
        ValueError: It is not JSON, or has not exactly the keys and types that it must have.
    """
    try:
        settings = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
    if not isinstance(settings, dict) or set(settings) != set(_KINDS):
        got = sorted(settings) if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(f"{file} must have exactly the keys {', '.join(_KINDS)}; it has {got}")
    for key, kind in _KINDS.items():
        if not isinstance(settings[key], kind):
            raise ValueError(f"{file}: {key} must be a {kind.__name__}; got {settings[key]!r}")
    return settings


def usual_settings(model: str, train_scales: Sequence[int] | None = None) -> tuple[list[int] | None, dict[str, Any]]:
    """The S that a net was trained at, [S] or [S_min, S_max], and the evaluator's settings that its folder tells.

    Args:
        model: A name, of which nothing is known, or a folder of a run or of `DenseEvaluator.save_pretrained`.
        train_scales: S, or S_min and S_max; None takes what the folder's results.json says.
    """
    folder = Path(model) if Path(model).is_dir() else None
    run = run_settings(model)
    trained = sorted(set(train_scales or run.get("train_scales") or ())) or None
    settings: dict[str, Any] = {}
    if trained and {"crop_size", "flip"} <= run.keys():
        settings = {"scales": scales_after_training(trained, run["crop_size"]), "flip": run["flip"]}
    if folder and (folder / SETTINGS_FILE).is_file():
        settings |= read_settings(folder / SETTINGS_FILE)
    return trained, settings


def run_settings(model: str) -> dict[str, Any]:
    """The recipe of a run's folder, as its results.json tells it; nothing of any other folder or name."""
    folder = Path(model)
    return _json(folder / "results.json").get("settings", {}) if folder.is_dir() else {}


def scales_after_training(trained: Sequence[int], crop_size: int) -> list[int]:
    """Q of Sect. 4.2: {S - 32, S, S + 32} after training at a fixed S, {S_min, their mean, S_max} after jittering.

    For crops smaller than 224 pixels the step of 32 shrinks with them.
    """
    if len(trained) == 2:
        return [trained[0], sum(trained) // 2, trained[1]]
    step = max(1, crop_size // 7)
    return sorted({max(crop_size, trained[0] + change) for change in (-step, 0, step)})


def _json(file: Path) -> dict[str, Any]:
    """What a JSON file of the folder says; nothing if it is not there."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
    return content if isinstance(content, dict) else {}
