"""Test a net as the paper does (Sect. 3.2 and 4): dense, multi-scale, multi-crop, each image exactly once.

    accelerate launch recipes/evaluate.py --model vgg_d.tv_in1k --data ILSVRC/imagenet-1k --output runs/test_d
    accelerate launch recipes/evaluate.py --model runs/vgg_d_s256 --data ILSVRC/imagenet-1k --output runs/test_d_s256

Leaves results.json (errors with a 95% interval, counts, the weights' sha256, versions, command) and the posteriors of
every image in OUTPUT/scores. A command that was killed resumes when it is given again, on any number of
processes; recipes/fuse.py averages the scores of several nets, recipes/tables.py shows results beside the paper's.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.agreement import check_same_images
from recipes.data.images import LabelledImages
from recipes.data.source import about_data, add_data_options, column_options, data_source
from recipes.data.splits import load_test_split
from recipes.evaluation.class_order import outputs_of_classes
from recipes.evaluation.net import NetUnderTest, arithmetic_in, load_net
from recipes.evaluation.scores import check_submission, score_store, write_results
from recipes.evaluation.store import RescaledImages, fill
from recipes.runtime.command import add_testing_options, begin_test, command, command_parser, weights_dtype
from recipes.runtime.processes import from_main, main_first
from vgg_zoo.evaluation import PROTOCOLS

CHOSEN = ("protocol", "scales", "flip", "softmax_first", "ceil_mode", "exact")
"""Options that are arguments of the evaluator."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the results and scores")
    parser.add_argument("--model", required=True, help="a name that timm loads with weights, or a folder of a run")
    group = parser.add_argument_group("protocol; where nothing is said, as the model's folder says, or the paper")
    group.add_argument("--protocol", help=f"one of {', '.join(PROTOCOLS)}; default: dense")
    group.add_argument(
        "--scales", type=int, nargs="+", metavar="Q", help="default: Sect. 4.2's for the training scale, 256 384 512"
    )
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument(
        "--softmax-first", action=argparse.BooleanOptionalAction, help="soft-max at every position, then the mean"
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
    group = add_testing_options(parser)
    group.add_argument(
        "--keep-scores", action=argparse.BooleanOptionalAction, default=True, help="for fusions; 4 kB an image"
    )
    args = parser.parse_args(arguments)
    if len(args.train_scales or ()) > 2:
        parser.error(f"--train-scales takes S, or S_min and S_max; got {args.train_scales}")
    return args


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    folder, accelerator = begin_test(args)
    chosen = {name: getattr(args, name) for name in CHOSEN} | {"precision": args.copy_precision}

    def load() -> tuple[NetUnderTest, LabelledImages]:
        tested = load_net(args.model, args.train_scales, args.most_pixels, chosen)
        return tested, load_test_split(data_source(args), labelled=not args.unlabelled)

    tested, split = main_first(accelerator, load, "reading the net and the data set")
    check_same_images(accelerator, split)
    evaluator = tested.evaluator
    evaluator.model.to(accelerator.device, weights_dtype(args.precision))
    outputs = from_main(accelerator, lambda: outputs_of_classes(split.class_names, evaluator.model, args.class_index))

    def begin() -> dict[str, Any]:
        if args.submission is not None:
            check_submission(args.submission, folder, outputs, int(evaluator.model.num_classes))
        net = tested.description() | arithmetic_in(evaluator, accelerator, args.precision)
        data = about_data(args, split) | {"images": len(split), "columns": column_options(args)}
        folder.begin({"net": net, "data": data, "precision": args.precision}, args.overwrite)
        return net

    net = from_main(accelerator, begin)
    accelerator.print(
        f"{args.model} on {len(split)} images of {args.data}: {net['protocol']}, Q = {net['scales']}, "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}"
    )
    store = score_store(folder, len(split))
    fill(store, RescaledImages(split, evaluator.scales), evaluator.of_rescaled, accelerator, args.workers, args.strict)
    if accelerator.is_main_process:
        write_results(folder, [net], about_data(args, split), store.read_all(), outputs, args.submission)
        if not args.keep_scores:
            store.remove()
    accelerator.end_training()


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
