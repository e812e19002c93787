"""The main job on real images, in two minutes on two CPU cores: what `make demo` runs.

Trains a small net A on scikit-learn's handwritten digits in two processes, tests it densely, loads it with timm, draws
where it sees a digit, and says what came out and where it is. Ends with an error if any of that is not as it must be on
every machine; `recipes/demo/tour.py` shows the rest of the zoo.
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
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder of everything")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.demo.steps import demo

    demo.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
