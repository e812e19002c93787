"""The base of every command: its parser, and a `main` that imports the work after the options are parsed."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from command_line.parser import Parser


def command(
    run: Callable[[argparse.Namespace], int | None], parse: Callable[[Sequence[str] | None], argparse.Namespace]
) -> Callable[..., int]:
    """The `main` of a command, which ends like `recipes.runtime.work.carry_out`.

    Args:
        run: A function that imports the work and does it; returns an exit code, or None for 0.
        parse: A function that parses the command line; it ends the process itself after a mistake.

    Returns:
        A function from the command line, which results.json records (None takes that of the process), to the exit code.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        typed = sys.argv
        if arguments is not None:
            sys.argv = [str(sys.modules[run.__module__].__file__), *arguments]
        try:
            args = parse(arguments)
            from recipes.runtime.work import carry_out  # takes seconds, so it comes after help and mistakes

            return carry_out(run, args, ends=arguments is None)
        finally:
            sys.argv = typed

    return main


def command_parser(description: str | None, output: str | None = None, passes_on_to: Parser | None = None) -> Parser:
    """A parser whose help begins with a command's unchanged docstring.

    Args:
        description: The docstring.
        output: Content of the folder --output; None leaves this option and --overwrite out.
        passes_on_to: The command that gets the options that this one does not know.
    """
    parser = Parser(description=description, passes_on_to=passes_on_to)
    if output is not None:
        group = parser.add_argument_group("output")
        group.add_argument("--output", type=Path, required=True, metavar="FOLDER", help=f"of {output}")
        group.add_argument("--overwrite", action="store_true", help="delete the content of OUTPUT, and start again")
    return parser
