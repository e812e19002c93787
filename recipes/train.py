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
from recipes.data.options import add_data_options
from recipes.names import check_recipe_name, recipe_names
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_hardware_options, add_set_option


def parser() -> Parser:
    """All options."""
    parser = command_parser(__doc__)
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(recipe_names())}; or a .py file")
    parser.add_argument("--output", type=Path, help="folder of the run (default: runs/RECIPE)")
    parser.add_argument("--overwrite", action="store_true", help="delete what OUTPUT holds, and start again")
    parser.add_argument(
        "--resume", default="auto", metavar="auto|FOLDER", help="checkpoint to resume from; auto takes the newest"
    )
    parser.add_argument(
        "--init-from",
        help="trained net to begin with, where the recipe asks for one: a folder or a name that timm loads",
    )
    parser.add_argument("--max-steps", type=int, help="stop after so many SGD steps in all")
    parser.add_argument("--checkpoint-every", type=int, default=1000, help="SGD steps; and after every epoch")
    parser.add_argument("--checkpoint-minutes", type=float, metavar="M", help="most minutes between two, besides")
    parser.add_argument("--keep-last", type=int, default=2, help="newest checkpoints to keep")
    parser.add_argument("--keep-best", type=int, default=1, help="checkpoints of least validation error to keep")
    parser.add_argument("--trackers", nargs="+", default=[], metavar="NAME", help="tensorboard, wandb, ...")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")
    parser.add_argument(
        "--dry-run",
        type=int,
        nargs="?",
        const=2,
        metavar="STEPS",
        help="steps on made-up images; print memory and rate",
    )
    add_set_option(parser)
    add_data_options(parser, required=False)
    add_hardware_options(parser)
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    mine = parser()
    args = mine.parse_args(arguments)
    if args.data is None and args.dry_run is None:
        mine.error("--data is required, but for --dry-run")
    args.output = args.output or Path("runs") / Path(args.recipe).stem
    for name in ("max_steps", "checkpoint_every", "keep_last", "device_batch", "dry_run"):
        value = getattr(args, name)
        if value is not None and value < 1:
            mine.error(f"--{name.replace('_', '-')} must be at least 1; got {value}")
    if args.checkpoint_minutes is not None and not args.checkpoint_minutes > 0:
        mine.error(f"--checkpoint-minutes must be above 0; got {args.checkpoint_minutes}")
    try:
        check_recipe_name(args.recipe)
    except ValueError as error:
        mine.error(str(error))
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.training import train

    train.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
