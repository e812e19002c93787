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

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.values import whole
from recipes.data.options import add_data_options
from recipes.names import PROTOCOLS
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_model, add_scales, add_submission, add_testing_options, check_submission
from recipes.runtime.values import existing_file, is_known_here, known


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the results and scores")
    add_model(parser)
    group = parser.add_argument_group("protocol; where nothing is said, as the model's folder says, or the paper")
    group.add_argument(
        "--protocol", type=known("protocol", PROTOCOLS), help=f"one of {', '.join(PROTOCOLS)}; default: dense"
    )
    add_scales(group, "default: Sect. 4.2's for the training scale, 256 384 512")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument(
        "--softmax-first", action=argparse.BooleanOptionalAction, help="soft-max at every position, then the mean"
    )
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    group.add_argument(
        "--train-scales",
        type=whole(),
        nargs="+",
        metavar="S",
        help="S, or S_min and S_max, of a net whose folder does not say",
    )
    add_data_options(parser)
    group = parser.add_argument_group("classes")
    group.add_argument(
        "--class-index",
        type=existing_file,
        help="file: each class's output number, name or WordNet id; default: by name",
    )
    group.add_argument("--unlabelled", action="store_true", help="the split has no labels; for --submission")
    add_submission(group)
    group = add_testing_options(parser)
    group.add_argument(
        "--keep-scores", action=argparse.BooleanOptionalAction, default=True, help="for fusions; 4 kB an image"
    )
    args = parser.parse_args(arguments)
    if len(args.train_scales or ()) > 2:
        parser.error(f"--train-scales takes S, or S_min and S_max; got {args.train_scales}")
    with parser.typed_wrong():
        if is_known_here():
            check_submission(args)
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.evaluation import evaluate

    evaluate.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
