"""What an evaluation or a fusion leaves: results.json, bad_images.csv, and a test-server submission."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from recipes.classes import submission, targets
from recipes.error_rates import ErrorRates, mistakes
from recipes.report import provenance, write_json, write_problems, write_text
from recipes.run_folder import RunFolder
from recipes.scores import Scores
from vgg_zoo.weights.folder import WEIGHTS

_KEYS = {"nets", "data", "outputs_of_classes", "results"}


def check_output(folder: RunFolder, overwrite: bool) -> None:
    """Refuse a folder that is something else's, a training's above all: --overwrite must not cost anybody a net.

    Raises:
        ValueError: It is.
    """
    folder.check(overwrite)
    if (folder.path / WEIGHTS).exists() or folder.checkpoints.exists():
        raise ValueError(f"--output {folder.path} is the folder of a net or of its training; choose another one")


def check_submission(file: Path, folder: RunFolder, outputs: Sequence[int], classes: int) -> None:
    """Find out before the work of days that its result cannot be written.

    Args:
        file: To be written.
        folder: Of the results, which may not be there yet.
        outputs: The net's output for each class of the data set.
        classes: Outputs of the net.

    Raises:
        ValueError: No such folder, or classes that are not the net's outputs one to one.
    """
    if not file.parent.is_dir() and file.parent.resolve() != folder.path.resolve():
        raise ValueError(f"--submission {file}: there is no folder {file.parent}")
    submission(torch.zeros(0, classes), outputs)


def read_results(
    folder: RunFolder, script: str = "recipes/evaluate.py", keys: Collection[str] = _KEYS
) -> dict[str, Any]:
    """The results.json of an evaluation, or of another script.

    Args:
        folder: Its output.
        script: That wrote it.
        keys: That its results must have.

    Raises:
        ValueError: There is none, a training's, or something else's.
    """
    try:
        content = json.loads(folder.results.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{folder.path} has no results.json; name the --output of {script}") from error
    except ValueError as error:
        raise ValueError(f"{folder.results} is not JSON ({error})") from error
    if isinstance(content, dict) and "recipe" in content:
        raise ValueError(f"{folder.results} is of a training; run {script} --model {folder.path} and name its --output")
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise ValueError(f"{folder.results} is not what {script} writes: it must have {sorted(keys)}")
    return content


def error_rates_of(scores: Scores, outputs: Sequence[int]) -> ErrorRates | None:
    """Errors of labelled images; None without labels.

    Args:
        scores: Of any number of images.
        outputs: The net's output for each class of the data set.
    """
    if bool((scores.labels < 0).all()):
        return None
    wrong = mistakes(scores.posteriors, targets(scores.labels, outputs))
    top1, top5 = wrong.sum(0).tolist()
    return ErrorRates(top1=top1 / len(wrong), top5=top5 / len(wrong), images=len(wrong))


def write_results(
    folder: RunFolder,
    nets: Sequence[dict[str, Any]],
    data: dict[str, Any],
    scores: Scores,
    outputs: Sequence[int],
    submission_file: Path | None = None,
) -> None:
    """Write everything, results.json last as the sign of the rest, and print the errors.

    Args:
        folder: Where to.
        nets: A description of each net.
        data: What is said of the data set, beside its counts.
        scores: Of the net, or the fused ones.
        outputs: The net's output for each class of the data set.
        submission_file: Where the lines for ILSVRC's test server go; None writes none.
    """
    rates, classes = error_rates_of(scores, outputs), scores.posteriors.shape[1]
    if submission_file is not None:
        write_text(submission_file, submission(scores.posteriors, outputs))
    if scores.problems:
        write_problems(folder.problems, scores.problems)
    content = {
        "nets": list(nets),
        "data": {**data, "images": len(scores), "unreadable_images": len(scores.problems)},
        "outputs_of_classes": None if list(outputs) == list(range(classes)) else list(outputs),  # None: the same order
        "results": _with_intervals(rates) if rates else None,
        **provenance(),
    }
    write_json(folder.results, content)
    if rates:
        low, high = rates.intervals()["top1"]
        print(
            f"top-1 error {rates.top1:.2%} (95% interval {low:.2%} to {high:.2%}), top-5 error {rates.top5:.2%} "
            f"of {rates.images} images"
        )
    if scores.problems:
        print(f"{len(scores.problems)} image(s) could not be decoded: {folder.problems} names them")
    print(f"wrote results.json to {folder.path}" + (f" and {submission_file}" if submission_file else ""))


def _with_intervals(rates: ErrorRates) -> dict[str, Any]:
    return asdict(rates) | {f"{name}_interval": list(found) for name, found in rates.intervals().items()}
