"""What the zoo does besides the main job, in some five minutes on two CPU cores: what `make tour` runs.

Tests the net that `make demo` trained by the paper's crops, fuses that with its dense test, shows both as the paper's
tables, builds and checks the repository that could be published, trains a linear SVM on the net's descriptors, trains
nets that classify and find digits on photos and tests them by both of the paper's protocols, and applies a net D of
full size, untrained, to scikit-learn's photos. Ends with an error if any of that is not as it must be on every machine.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from recipes.runtime.command import command, command_parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__)
    model = parser.add_argument("--model", type=Path, default=Path("runs/demo/net"), help="the demo's net")
    parser.add_alias("--net", model)
    parser.add_argument("--output", type=Path, default=Path("runs/tour"), help="folder of everything")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.demo.steps import tour

    tour.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
