"""Tables 3–6, 8 and 9 from results of recipes/evaluate.py, fuse.py and localise.py, beside the paper's own figures.

    python recipes/tables.py runs/test_* --output runs/tables

Prints Markdown; with --output also writes tables.md and tables.png, the classification errors.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_report, check_report
from recipes.runtime.values import output_of

FILES = ("tables.md", "tables.png")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "folders",
        type=output_of("evaluate", "fuse", "localise"),
        nargs="+",
        metavar="DIR",
        help="outputs of recipes/evaluate.py, fuse.py or localise.py",
    )
    add_report(parser, *FILES)
    args = parser.parse_args(arguments)
    check_report(parser, args, *FILES)
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.evaluation import tables

    tables.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
