"""Train a net by a recipe, test it, and leave a folder that timm loads.

    accelerate launch recipes/train.py --recipe digits_vgg_a --data digits --output runs/digits

The recipe says what is learned, --set changes it, and run.json holds all of it; the other options say where, how long
and on what hardware. A run that was stopped or killed resumes when the same command is given again, on any number of
processes. Classes of your own, from a net that is trained already (docs/own_classes.md):

    python recipes/train.py --recipe finetune_small --data photos --output runs/photos --set epochs=10
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.parser import Parser
from command_line.values import positive, whole
from recipes.data.options import add_data_options
from recipes.names import TRACKERS, recipe_names
from recipes.recipe import load_recipe
from recipes.recipe_changes import changed
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_hardware_options, add_set_option
from recipes.runtime.values import check_trackers, checkpoint, known, net


def parser() -> Parser:
    """All options."""
    parser = command_parser(__doc__)
    group = parser.add_argument_group("what is learned")
    group.add_argument(
        "--recipe", required=True, metavar="NAME", help=f"one of {', '.join(recipe_names())}; or a .py file"
    )
    add_set_option(group)
    group.add_argument(
        "--init-from",
        type=net,
        metavar="NAME",
        help="trained net to begin with, where the recipe asks for one: a folder or a name that timm loads; default: "
        "as the recipe says",
    )
    add_data_options(parser, required=False)
    group = parser.add_argument_group("how long")
    group.add_argument(
        "--max-steps",
        type=whole(),
        metavar="STEPS",
        help="stop after so many SGD steps in all; default: the recipe's end",
    )
    group.add_argument(
        "--dry-run",
        type=whole(),
        nargs="?",
        const=2,
        metavar="STEPS",
        help="steps on made-up images in place of a training, 2 where no number follows; print memory and rate",
    )
    _add_run_folder_options(parser)
    add_hardware_options(parser)
    group = parser.add_argument_group("tracking")
    group.add_argument(
        "--trackers",
        type=known("tracker", TRACKERS),
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"of Accelerate: {', '.join(TRACKERS)}; default: none. metrics.csv is written in any case",
    )
    return parser


def _add_run_folder_options(parser: Parser) -> None:
    group = parser.add_argument_group("run folder")
    group.add_argument("--output", type=Path, metavar="FOLDER", help="of the run; default: runs/RECIPE")
    group.add_argument("--overwrite", action="store_true", help="delete what OUTPUT holds, and start again")
    group.add_argument(
        "--resume",
        type=checkpoint,
        default="auto",
        metavar="auto|FOLDER",
        help="checkpoint to resume from; auto takes the newest",
    )
    group.add_argument(
        "--checkpoint-every", type=whole(), default=1000, metavar="STEPS", help="SGD steps; and after every epoch"
    )
    group.add_argument(
        "--checkpoint-minutes",
        type=positive,
        metavar="M",
        help="most minutes between two checkpoints, besides; default: no limit",
    )
    group.add_argument("--keep-last", type=whole(), default=2, metavar="N", help="newest checkpoints to keep")
    group.add_argument(
        "--keep-best", type=whole(0), default=1, metavar="N", help="checkpoints of least validation error to keep"
    )
    group.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    mine = parser()
    args = mine.parse_args(arguments)
    if args.data is None and args.dry_run is None:
        mine.error("--data is required, but for --dry-run")
    args.output = args.output or Path("runs") / Path(args.recipe).stem
    with mine.typed_wrong():
        check_trackers(args.trackers)
        changed(load_recipe(args.recipe), args.changes)  # again by the work, which also makes the net
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.training import train

    train.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
