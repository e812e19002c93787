"""Several nets as one: the mean of their posteriors (Sect. 4.4), from the scores that recipes/evaluate.py kept.

    python recipes/fuse.py runs/test_d runs/test_e --output runs/test_d_e

Runs no net. The images must be the same ones in the same order, which a hash of their pixels tells. OUTPUT holds what
an evaluation leaves, so that recipes/tables.py shows it and further fusions can use it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes.mistakes import mistakes_in_one_line
from recipes.run_folder import RunFolder
from recipes.score_report import check_output, check_submission, read_results, write_results
from recipes.scores import ScoreFolder, Scores
from vgg_zoo.evaluation import fuse


def load(path: Path) -> tuple[dict[str, Any], Scores, list[int]]:
    """The results and scores of an evaluation, and its net's output for each class of the data set.

    Raises:
        ValueError: It is not finished, or its scores are gone.
    """
    folder = RunFolder(path)
    results = read_results(folder)
    if not folder.scores.is_dir():
        raise ValueError(f"{path} has no scores; it was made with --no-keep-scores")
    scores = ScoreFolder(folder.scores, results["data"]["images"]).read_all()
    return results, scores, results["outputs_of_classes"] or list(range(scores.posteriors.shape[1]))


def fused(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], dict[str, Any], Scores, list[int]]:
    """Nets, data set, averaged scores, and the output of each class.

    A fusion of fusions counts every net once, so that 2 + 5 nets are 7 nets of one seventh each.

    Raises:
        ValueError: Other images, labels or outputs in one of them.
    """
    first, scores, outputs = load(paths[0])
    nets = list(first["nets"])
    total = [scores.posteriors] * len(nets)
    for path in paths[1:]:
        results, other, theirs = load(path)
        check_same(paths[0], scores, path, other)
        nets += results["nets"]
        total += [in_order(path, other.posteriors, theirs, outputs)] * len(results["nets"])
    data = {name: first["data"][name] for name in ("spec", "split", "classes")}
    return nets, data, replace(scores, posteriors=fuse(total)), outputs


def check_same(path: Path, scores: Scores, other_path: Path, other: Scores) -> None:
    """Both are scores of the same images in the same order, with the same labels.

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
        ValueError: Some output is of no class, so that its place in the other net is unknown.
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


def main() -> None:
    """Fuse, write, print; a mistake of the user ends in one line, not in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="outputs of recipes/evaluate.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the fusion's results and scores")
    parser.add_argument("--overwrite", action="store_true", help="throw away what OUTPUT holds")
    parser.add_argument(
        "--submission", type=Path, metavar="FILE", help="write ILSVRC's test-server lines: top 5, from 1"
    )
    args = parser.parse_args()
    with mistakes_in_one_line():
        folder = RunFolder(args.output)
        check_output(folder, args.overwrite)
        if args.output.resolve() in [path.resolve() for path in args.folders]:
            raise ValueError(f"--output {args.output} is one of the folders to fuse; choose another one")
        nets, data, scores, outputs = fused(args.folders)
        if args.submission is not None:
            check_submission(args.submission, folder, outputs, scores.posteriors.shape[1])
        folder.begin({"nets": nets, "data": data}, args.overwrite)
        store = ScoreFolder(folder.scores, len(scores))
        store.write_all(scores)
        write_results(folder, nets, data, scores, outputs, args.submission)


if __name__ == "__main__":
    main()
