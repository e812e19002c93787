"""Test a net as the paper does (Sect. 3.2 and 4): dense, multi-scale, multi-crop, each image exactly once.

    accelerate launch recipes/evaluate.py --model vgg_d.tv_in1k --data ILSVRC/imagenet-1k --output runs/test_d
    accelerate launch recipes/evaluate.py --model runs/vgg_d_s256 --data ILSVRC/imagenet-1k --output runs/test_d_s256

Leaves results.json (errors with a 95% interval, counts, the weights' sha256, versions, command) and the posteriors of
every image in OUTPUT/scores. A command that was killed goes on where it was when it is given again, on any number of
processes; recipes/fuse.py averages the scores of several nets, recipes/tables.py shows results beside the paper's.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.classes import outputs_of_classes
from recipes.data import LabelledImages, load_test_split
from recipes.launch import from_main, make_accelerator, only_main_speaks
from recipes.mistakes import mistakes_in_one_line
from recipes.net_under_test import NetUnderTest, arithmetic_in, load_net
from recipes.options import add_data_options, add_exact, add_precision, column_options, data_source
from recipes.run_folder import RunFolder
from recipes.score_report import check_output, check_submission, write_results
from recipes.scores import ScoreFolder, compute_scores
from vgg_zoo.evaluation import PROTOCOLS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a name that timm loads with weights, or a folder of a run")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results and scores")
    parser.add_argument("--overwrite", action="store_true", help="throw away what OUTPUT holds, and begin anew")
    group = parser.add_argument_group("protocol; where nothing is said, as the model's folder says, or the paper")
    group.add_argument("--protocol", help=f"one of {', '.join(PROTOCOLS)}; default: dense")
    group.add_argument(
        "--scales", type=int, nargs="+", metavar="Q", help="default: Sect. 4.2's for the training scale, 256 384 512"
    )
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument(
        "--softmax-first", action=argparse.BooleanOptionalAction, help="soft-max at every place, then the mean"
    )
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    group.add_argument(
        "--train-scales",
        type=int,
        nargs="+",
        metavar="S",
        help="S, or S_min and S_max, of a net whose folder does not say",
    )
    add_data_options(parser)
    group = parser.add_argument_group("classes")
    group.add_argument("--class-index", type=Path, help="file: each class's output number, name or WordNet id")
    group.add_argument("--unlabelled", action="store_true", help="the split has no labels; for --submission")
    group.add_argument(
        "--submission", type=Path, metavar="FILE", help="write ILSVRC's test-server lines: top 5, from 1"
    )
    group = parser.add_argument_group("hardware and files; changes no result beyond rounding")
    group.add_argument("--workers", type=int, default=0, help="processes that load images, for each process")
    group.add_argument("--most-pixels", type=int, default=2**20, help="that go through the net at once; tiles beyond")
    add_precision(group)
    add_exact(group)
    group.add_argument("--deterministic", action="store_true", help="the same bits on a GPU in every run; slower")
    group.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")
    group.add_argument(
        "--keep-scores", action=argparse.BooleanOptionalAction, default=True, help="for fusions; 4 kB an image"
    )
    args = parser.parse_args()
    if len(args.train_scales or ()) > 2:
        parser.error(f"--train-scales takes S, or S_min and S_max; got {args.train_scales}")
    return args


def identity(net: dict[str, Any], args: argparse.Namespace, split: LabelledImages, precision: str) -> dict[str, Any]:
    """What decides the scores: the same in every part of an interrupted test."""
    data = about_data(args, split) | {"images": len(split), "columns": column_options(args)}
    return {"net": net, "data": data, "precision": precision}


def about_data(args: argparse.Namespace, split: LabelledImages) -> dict[str, Any]:
    """What results.json says of the data set."""
    named = args.validation_split or split.name
    return {"spec": args.data, "split": named, "classes": len(split.class_names)}


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    folder = RunFolder(args.output)
    check_output(folder, args.overwrite)
    accelerator = make_accelerator(precision=args.precision, deterministic=args.deterministic)
    only_main_speaks(accelerator)
    chosen = {
        name: getattr(args, name) for name in ("protocol", "scales", "flip", "softmax_first", "ceil_mode", "exact")
    }
    with accelerator.main_process_first():  # the others find weights and data set in the cache
        tested = load_net(args.model, args.train_scales, args.most_pixels, chosen)
        split = load_test_split(data_source(args), labelled=not args.unlabelled)
    evaluator = tested.evaluator
    evaluator.model.to(accelerator.device, torch.float64 if args.precision == "fp64" else torch.float32)
    outputs = from_main(accelerator, lambda: outputs_of_classes(split.class_names, evaluator.model, args.class_index))
    if args.submission is not None:
        check_submission(args.submission, folder, outputs, int(evaluator.model.num_classes))
    precision = "fp64" if args.precision == "fp64" else accelerator.mixed_precision  # the launcher may have said it
    net = from_main(accelerator, lambda: prepare(folder, tested, args, split, precision, accelerator))
    accelerator.print(
        f"{args.model} on {len(split)} images of {args.data}: {net['protocol']}, Q = {net['scales']}, "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}"
    )
    store = ScoreFolder(folder.scores, len(split))
    compute_scores(evaluator, split, store, accelerator, args.workers, args.strict)
    if accelerator.is_main_process:
        write_results(folder, [net], about_data(args, split), store.read_all(), outputs, args.submission)
        if not args.keep_scores:
            store.remove()
    accelerator.end_training()


def prepare(
    folder: RunFolder,
    tested: NetUnderTest,
    args: argparse.Namespace,
    split: LabelledImages,
    precision: str,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Make the folder, or make sure that it is this test's; what is said of the net."""
    net = tested.description() | arithmetic_in(tested.evaluator, accelerator, precision)
    folder.begin(identity(net, args, split, precision), args.overwrite)
    return net


def main() -> None:
    """Run; a mistake of the user ends in one line, not in a traceback."""
    with mistakes_in_one_line():
        run(arguments())


if __name__ == "__main__":
    main()
