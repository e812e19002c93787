"""`vgg-zoo COMMAND ...`, or `python -m vgg_zoo COMMAND ...`: one file of `vgg_zoo.commands` each.

vgg-zoo                                       the nets, and the weights that can be had by name
vgg-zoo explain PHOTO --model NAME|FOLDER     where in a photo the dense net sees which class
vgg-zoo localise PHOTO --model FOLDER ...     what is in a photo, and where
vgg-zoo convert FILE --to FOLDER              Caffe's, Keras' and other files of weights as a folder for timm
"""

import importlib
import sys
from collections.abc import Sequence

COMMANDS = ("list", "explain", "localise", "convert")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; without any, list the nets.

    Returns:
        The exit code: 2 for an unknown command.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["list"]
    if name in ("-h", "--help"):
        print(__doc__.rstrip())
        return 0
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; choose from {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"vgg_zoo.commands.{name}")  # the others' imports are not waited for
    return int(command.main(rest))


if __name__ == "__main__":
    sys.exit(main())
