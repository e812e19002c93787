"""Several nets as one: the mean of their posteriors (Sect. 4.4), from the scores that recipes/evaluate.py kept.

    python recipes/fuse.py runs/test_d runs/test_e --output runs/test_d_e

Runs no net. The images must be the same ones in the same order, which a hash of their pixels tells. OUTPUT holds what
an evaluation leaves, so that recipes/tables.py shows it and further fusions can use it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_submission, check_submission
from recipes.runtime.values import is_known_here, output_of


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the fusion's results and scores")
    parser.add_argument(
        "folders", type=output_of("evaluate", "fuse"), nargs="+", metavar="DIR", help="outputs of recipes/evaluate.py"
    )
    add_submission(parser)
    args = parser.parse_args(arguments)
    with parser.typed_wrong():
        if is_known_here():
            check_submission(args)
    return args


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.evaluation import fuse

    fuse.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
