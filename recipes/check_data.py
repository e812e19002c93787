"""A pass over a data set before a run of days: every image is decoded, and what is wrong is named.

    python recipes/check_data.py --data path/to/images --workers 8 --output report
    python recipes/check_data.py --data path/to/ILSVRC --boxes --workers 8 --output report

Prints counts for each split, what was guessed and ignored, and which files are no images; with --output, also writes
bad_images.csv and data.json there. Ends with code 1 if any image cannot be decoded or, with --boxes, any annotation is
bad. Training images of ILSVRC without an annotation, more than half of them, are only counted. A training run would
replace an image that cannot be decoded (in testing: count it as an error); --strict would stop there.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.values import whole
from recipes.data.options import add_data_options
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_report, check_report

FILES = ("data.json", "bad_images.csv")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__)
    add_data_options(parser)
    group = parser.add_argument_group("check")
    group.add_argument("--workers", type=whole(0), default=0, help="processes that decode images")
    group.add_argument("--boxes", action="store_true", help="check the boxes too")
    add_report(parser, *FILES)
    args = parser.parse_args(arguments)
    check_report(parser, args, *FILES)
    return args


def run(args: argparse.Namespace) -> int:
    """The work, imported once the options are read."""
    from recipes.data import check_data

    return check_data.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
