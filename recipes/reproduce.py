"""The paper's whole chain of runs in one command: A, then B to E from A, then S=384, then scale jittering.

    python recipes/reproduce.py --data ILSVRC/imagenet-1k --output runs --launcher "accelerate launch"

Runs the recipes in the order in which they stand on each other, each by recipes/train.py. Given again, it skips what
is finished and resumes what is not. Options that it does not know go to recipes/train.py: --workers 8.

    python recipes/reproduce.py --data digits --output runs/small --small     # all of it in some minutes
    python recipes/reproduce.py --data ILSVRC/imagenet-1k --plan              # what there would be to do
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes import train
from recipes.data.options import add_data_options
from recipes.names import KINDS, NETS, SMALL, check_recipe_name
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_set_option


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; `passed_on` is what of it is for recipes/train.py."""
    parser = command_parser(__doc__, passes_on_to=train.parser())
    parser.add_argument("--output", type=Path, default=Path("runs"), help="holds a folder for each run")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS, metavar="NET", help=f"of {', '.join(NETS)}")
    parser.add_argument(
        "--kind", choices=KINDS, default="paper", help="the paper's runs, or others of the same nets; boxes: Appendix A"
    )
    parser.add_argument("--recipes", nargs="+", metavar="NAME", help="these recipes and what they stand on; not --nets")
    parser.add_argument("--small", action="store_true", help="all at a seventh of the pixels and a tenth of the width")
    parser.add_argument("--launcher", help='for example "accelerate launch --num_processes 8"; plain python by default')
    parser.add_argument("--plan", action="store_true", help="print the chain with steps, images and hours; run nothing")
    parser.add_argument("--images", type=int, help="training images for --plan, without looking at --data")
    parser.add_argument(
        "--rate",
        type=float,
        help="training images a second of net D for --plan, as `train.py --dry-run` prints (default: an RTX 3090's)",
    )
    add_set_option(parser)
    add_data_options(parser)
    args, passed_on = parser.parse_known_args(arguments)
    args.passed_on = passed_on
    for name in args.recipes or ():
        try:
            check_recipe_name(name + SMALL * args.small)
        except ValueError as error:
            parser.error(str(error))
    train.parse(["--recipe", "vgg_a_s256", "--data", args.data, *args.passed_on])  # a mistake is said now
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.training import reproduce

    reproduce.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
