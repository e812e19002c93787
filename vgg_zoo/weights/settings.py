"""With which settings a net is evaluated: those kept beside it, or those that follow from its training (Sect. 4.2)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_zoo.results import training_of
from vgg_zoo.weights.hub_file import optional_file

SETTINGS_FILE = "dense_eval.json"
"""Of a net that classifies."""

LOCALISE_FILE = "localise.json"
"""Of a net that predicts boxes (Appendix A)."""

_KINDS = {"scales": list, "flip": bool, "protocol": str, "softmax_first": bool, "ceil_mode": bool}
_BOX_KINDS = {"scales": list, "close": float, "ceil_mode": bool}


def read_settings(file: Path) -> dict[str, Any]:
    """What a file of `DenseEvaluator.save_pretrained` says, as the evaluator's arguments.

    Raises:
        ValueError: It is not JSON, or has not exactly the keys and types that it must have.
    """
    return _read(file, _KINDS)


def read_localise(file: Path) -> dict[str, Any]:
    """What the `localise.json` of a published net says, as arguments of `vgg_zoo.Localiser`.

    Returns:
        "scales", Q in pixels; "close", the overlap from 0 to 1 above which boxes are merged; and "ceil_mode".

    Raises:
        ValueError: It is not JSON, or has not exactly the keys, types and ranges that it must have.
    """
    settings = _read(file, _BOX_KINDS)
    scales = settings["scales"]
    if not scales or not all(type(scale) is int and scale > 0 for scale in scales):
        raise ValueError(f"{file}: scales must be smallest sides in pixels; got {scales!r}")
    if not 0 <= settings["close"] <= 1:
        raise ValueError(f"{file}: close must be an overlap from 0 to 1; got {settings['close']!r}")
    return settings


def localise_settings(source: str | Path, hub_id: str | None) -> dict[str, Any]:
    """What the `localise.json` beside a net's weights says; nothing where there is none.

    Args:
        source: The folder or name that the net was loaded by.
        hub_id: The repository that a name stands for, "org/name@revision", as the net's pretrained_cfg has it.

    Raises:
        ValueError: It is not what it must be.
        OSError: The Hub cannot be asked.
    """
    folder = Path(str(source).removeprefix("local-dir:"))
    if folder.is_dir():
        kept = folder / LOCALISE_FILE if (folder / LOCALISE_FILE).is_file() else None
    else:
        repository, _, revision = (hub_id or "").partition("@")
        kept = optional_file(repository, LOCALISE_FILE, revision or None) if repository else None
    return read_localise(kept) if kept else {}


def _read(file: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
    if not isinstance(settings, dict) or set(settings) != set(kinds):
        got = sorted(settings) if isinstance(settings, dict) else type(settings).__name__
        raise ValueError(f"{file} must have exactly the keys {', '.join(kinds)}; it has {got}")
    for key, kind in kinds.items():
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
    """The recipe of a training's folder, as its results.json has it; nothing of any other folder or name."""
    training = training_of(Path(model))
    return training["settings"] if training else {}


def scales_after_training(trained: Sequence[int], crop_size: int) -> list[int]:
    """Q of Sect. 4.2: {S - 32, S, S + 32} after training at a fixed S, {S_min, their mean, S_max} after jittering.

    For crops smaller than 224 pixels the step of 32 shrinks with them.
    """
    if len(trained) == 2:
        return [trained[0], sum(trained) // 2, trained[1]]
    step = max(1, crop_size // 7)
    return sorted({max(crop_size, trained[0] + change) for change in (-step, 0, step)})
