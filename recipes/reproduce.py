"""The paper's whole chain of runs in one command: A, then B to E from A, then S=384, then scale jittering.

    python recipes/reproduce.py --data ILSVRC/imagenet-1k --output runs --launcher "accelerate launch"

Runs the recipes in the order in which they stand on each other, each by recipes/train.py. Given again, it skips what
is finished and resumes what is not. Options that it does not know go to recipes/train.py: --workers 8.

    python recipes/reproduce.py --data digits --output runs/small --small     # all of it in some minutes
    python recipes/reproduce.py --data ILSVRC/imagenet-1k --plan              # what there would be to do
    python recipes/reproduce.py --data ILSVRC/imagenet-1k --plan --measure    # its hours, by ten seconds of steps here
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.parser import Parser
from command_line.values import positive, whole
from recipes import train
from recipes.data.options import add_data_options
from recipes.names import KINDS, NETS, SMALL, check_recipe_name
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_set_option

FIRST = dict(zip(KINDS, ("vgg_a_s256", "vgg_b_s256_glorot", "vgg_a_modern", "vgg_d_s256_pcr"), strict=True))
"""A recipe of each kind, with which the options are tried before anything is imported."""


def parser() -> Parser:
    """All options."""
    parser = command_parser(__doc__, passes_on_to=train.parser())
    group = parser.add_argument_group("which runs")
    group.add_argument("--nets", nargs="+", choices=NETS, default=NETS, metavar="NET", help=f"of {', '.join(NETS)}")
    group.add_argument(
        "--kind",
        choices=KINDS,
        default="paper",
        help="the paper's runs, or others of the same nets; boxes: Appendix A",
    )
    group.add_argument(
        "--recipes",
        nargs="+",
        metavar="NAME",
        help="these recipes and what they stand on, in place of --nets; default: those of --nets",
    )
    group.add_argument("--small", action="store_true", help="all at a seventh of the pixels and a tenth of the width")
    add_set_option(group)
    add_data_options(parser)
    group = parser.add_argument_group("how they are run")
    group.add_argument("--output", type=Path, default=Path("runs"), help="holds a folder for each run")
    group.add_argument("--overwrite", action="store_true", help="train finished runs again, too")
    group.add_argument(
        "--launcher", help='for example "accelerate launch --num_processes 8"; default: plain python, one process'
    )
    group = parser.add_argument_group("plan")
    group.add_argument("--plan", action="store_true", help="print the chain with steps, images and hours; run nothing")
    group.add_argument(
        "--images", type=whole(), help="training images for --plan, without looking at --data; default: those of --data"
    )
    rates = group.add_mutually_exclusive_group()
    rates.add_argument(
        "--measure", action="store_true", help="rate for --plan: ten seconds of steps of net D here, on --device"
    )
    rates.add_argument(
        "--rate",
        type=positive,
        help="training images a second of net D for --plan, as `train.py --dry-run` prints (default: an RTX 3090's)",
    )
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; `passed_on` is what of it is for recipes/train.py."""
    mine = parser()
    args, passed_on = mine.parse_known_args(arguments)
    args.passed_on = passed_on
    names = [name + SMALL * args.small for name in args.recipes or [FIRST[args.kind]]]
    with mine.typed_wrong():
        for name in names:
            check_recipe_name(name)
    changes = ["--set", *args.changes] if args.changes else []
    training = train.parse(["--recipe", names[0], "--data", args.data, *passed_on, *changes])  # a mistake is said now
    if args.measure and not args.plan:
        mine.error("--measure is for --plan")
    if args.measure and training.precision not in (None, "fp32"):
        mine.error(f"--measure takes steps in fp32; got --precision {training.precision}. Leave one of them out")
    args.device = training.device
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.training import reproduce

    reproduce.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
