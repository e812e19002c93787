"""What every command has: its parser, and a `main` that imports the work once the options are read."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from command_line.parser import Parser


def command(
    run: Callable[[argparse.Namespace], int | None], parse: Callable[[Sequence[str] | None], argparse.Namespace]
) -> Callable[..., int]:
    """The `main` of a command, which ends as `recipes.runtime.work.carry_out` says.

    Args:
        run: Imports the work and does it; returns an exit code, or None for 0.
        parse: Reads the command line; it ends the process itself where that is wrong.

    Returns:
        From the command line, which results.json records (None takes that of the process), to the exit code.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        typed = sys.argv
        if arguments is not None:
            sys.argv = [str(sys.modules[run.__module__].__file__), *arguments]
        try:
            args = parse(arguments)
            from recipes.runtime.work import carry_out  # seconds, which no help and no mistake waits for

            return carry_out(run, args, ends=arguments is None)
        finally:
            sys.argv = typed

    return main


def command_parser(description: str | None, output: str | None = None, passes_on_to: Parser | None = None) -> Parser:
    """A parser whose help begins with a command's docstring, as it is written.

    Args:
        description: The docstring.
        output: What the folder --output holds; None leaves this option and --overwrite out.
        passes_on_to: Of the command that gets the options that this one does not know.
    """
    parser = Parser(description=description, passes_on_to=passes_on_to)
    if output is not None:
        group = parser.add_argument_group("output")
        group.add_argument("--output", type=Path, required=True, metavar="FOLDER", help=f"of {output}")
        group.add_argument("--overwrite", action="store_true", help="delete what OUTPUT holds, and start again")
    return parser
