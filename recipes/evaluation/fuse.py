"""The mean of several nets' posteriors (Sect. 4.4), from their stored scores: the work of recipes/fuse.py."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes.evaluation.class_order import submission
from recipes.evaluation.scores import Scores, score_store, tell, write_results
from recipes.runtime.look import title
from recipes.runtime.options import check_submission
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.evaluation import fuse
from vgg_zoo.results import images_of, read_results, reading

_OF_THE_DATA = ("spec", "split", "classes")
"""Fields of a fusion's results about the data set; they are those of its first net."""


def load(path: Path) -> tuple[dict[str, Any], Scores, list[int]]:
    """The results and scores of an evaluation, and its net's output for each class of the data set.

    Raises:
        ValueError: It is not finished, or its scores are gone.
    """
    results = read_results(path, "classes")
    with reading(path, "classes"):
        store = score_store(OutputFolder(path), images_of(results))
        if lacking := [name for name in _OF_THE_DATA if name not in results["data"]]:
            raise ValueError(f"data lacks {', '.join(lacking)}")
        if not results["nets"] or not all(isinstance(net, dict) for net in results["nets"]):
            raise ValueError(f"nets must describe each net; got {results['nets']!r}")
    if not store.path.is_dir():
        raise ValueError(f"{path} has no scores; it was made with --no-keep-scores")
    scores = store.read_all()
    count = scores.posteriors.shape[1]
    outputs: list[int] = list(range(count)) if results["outputs_of_classes"] is None else results["outputs_of_classes"]
    with reading(path, "classes"):
        if not all(type(output) is int and 0 <= output < count for output in outputs):
            raise ValueError(f"outputs_of_classes must be numbers from 0 to {count - 1}; got {outputs}")
    return results, scores, outputs


def fused(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], dict[str, Any], Scores, list[int]]:
    """Nets, data set, averaged scores, and the output of each class.

    A fusion of fusions counts every net once, so that 2 + 5 nets are 7 nets of one seventh each.

    Raises:
        ValueError: One of them has other images, labels or outputs.
    """
    first, scores, outputs = load(paths[0])
    nets = list(first["nets"])
    total = [scores.posteriors] * len(nets)
    for path in paths[1:]:
        results, other, theirs = load(path)
        check_same(paths[0], scores, path, other)
        nets += results["nets"]
        total += [in_order(path, other.posteriors, theirs, outputs)] * len(results["nets"])
    data = {name: first["data"][name] for name in _OF_THE_DATA}
    return nets, data, replace(scores, posteriors=fuse(total)), outputs


def check_same(path: Path, scores: Scores, other_path: Path, other: Scores) -> None:
    """Check that both are scores of the same images in the same order, with the same labels.

    Raises:
        ValueError: They are not.
    """
    if len(scores) != len(other):
        raise ValueError(f"{path} has scores of {len(scores)} images and {other_path} of {len(other)}")
    for name in ("images", "labels"):
        differ = (getattr(scores, name) != getattr(other, name)).nonzero()
        if len(differ):
            raise ValueError(
                f"{path} and {other_path} are not of the same images: {len(differ)} of {len(scores)} differ in their "
                f"{'pixels' if name == 'images' else 'labels'}, image {int(differ[0])} first"
            )


def in_order(path: Path, posteriors: Any, theirs: Sequence[int], ours: Sequence[int]) -> Any:
    """Posteriors of a net, its outputs in the order of the first net's.

    Raises:
        ValueError: An output has no class, so its position in the other net is unknown.
    """
    if list(theirs) == list(ours):
        return posteriors
    if sorted(theirs) != sorted(ours) or sorted(ours) != list(range(posteriors.shape[1])):
        raise ValueError(
            f"{path}: its net's outputs are other classes than the first one's, or in an order that the data set does "
            "not tell"
        )
    reordered = posteriors.new_empty(posteriors.shape)
    reordered[:, list(ours)] = posteriors[:, list(theirs)]
    return reordered


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    folder = OutputFolder(args.output)
    folder.check()
    if args.output.resolve() in [path.resolve() for path in args.folders]:
        raise ValueError(f"--output {args.output} is one of the folders to fuse; choose another one")
    nets, data, scores, outputs = fused(args.folders)
    if args.submission is not None:
        check_submission(args)
        submission(scores.posteriors, outputs)  # raises before anything is written
    folder.begin({"nets": nets, "data": data}, args.overwrite)
    models = " + ".join(str(net["model"]) for net in nets)
    print(title("fuse", models, f"{len(scores):,} images of {data['spec']}"), flush=True)
    new = score_store(folder, len(scores)).write_all(scores)
    new |= write_results(folder, nets, data, scores, outputs, args.submission)
    tell(folder, new, args.submission)
