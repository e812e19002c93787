"""Posteriors of a net on a split, stored in a folder: recipes/evaluate.py computes and recipes/fuse.py averages
them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from recipes.evaluation.class_order import submission, targets
from recipes.evaluation.error_rates import ErrorRates, rate_in_words, wrong_guesses
from recipes.evaluation.store import Rows, Store
from recipes.runtime.files import write_rows, write_text
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.results import read_results


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Rows):
    """A net's posteriors of the images of a split, in their order.

    Attributes:
        posteriors: (N, num_classes), float32; a row of NaN if the image could not be decoded.
    """

    posteriors: Tensor
    computed: ClassVar[str] = "posteriors"


def score_store(folder: OutputFolder, images: int) -> Store[Scores]:
    """The store for the scores of a test with this many images."""
    return Store(folder.path / "scores", images, Scores)


def error_rates_of(scores: Scores, outputs: Sequence[int]) -> ErrorRates | None:
    """Errors of labelled images; None without labels.

    Args:
        scores: Scores of any number of images.
        outputs: The net's output for each class of the data set.
    """
    if bool((scores.labels < 0).all()):
        return None
    wrong = wrong_guesses(scores.posteriors, targets(scores.labels, outputs))
    top1, top5 = wrong.sum(0).tolist()
    return ErrorRates(top1=top1 / len(wrong), top5=top5 / len(wrong), images=len(wrong))


def write_results(
    folder: OutputFolder,
    nets: Sequence[dict[str, Any]],
    data: dict[str, Any],
    scores: Scores,
    outputs: Sequence[int],
    submission_file: Path | None = None,
) -> bool:
    """Write all files, results.json last as the sign that all is complete.

    Args:
        folder: The output folder.
        nets: A description of each net.
        data: The description of the data set, without its counts.
        scores: Scores of the net, or fused scores.
        outputs: The net's output for each class of the data set.
        submission_file: The file for the lines of ILSVRC's test server; None writes none.

    Returns:
        Whether it says anything that was not there already.
    """
    rates, classes = error_rates_of(scores, outputs), scores.posteriors.shape[1]
    if submission_file is not None:
        write_text(submission_file, submission(scores.posteriors, outputs))
    if scores.problems:
        write_rows(folder.problems, scores.problems)
    content = {
        "nets": list(nets),
        "data": {**data, "images": len(scores), "unreadable_images": len(scores.problems)},
        "outputs_of_classes": None if list(outputs) == list(range(classes)) else list(outputs),  # None: the same order
        "results": rates.with_intervals() if rates else None,
    }
    return folder.write_results("classes", content)


def tell(folder: OutputFolder, new: bool, submission_file: Path | None = None) -> None:
    """Print the errors and what was written; arguments as of `OutputFolder.tell` and `write_results`."""
    content = read_results(folder.path, "classes")
    rates, figures = content["results"], {}
    for name in ("top1", "top5") if rates else ():
        figures[f"{name[:3]}-{name[3:]} error"] = rate_in_words(rates, name)
    figures["images"] = f"{content['data']['images']:,}"
    if unreadable := content["data"]["unreadable_images"]:
        figures["unreadable"] = f"{unreadable:,}, which count as errors"
    beside = (
        {} if submission_file is None else {submission_file: "the five likeliest classes, for ILSVRC's test server"}
    )
    folder.tell(figures, new, beside)
