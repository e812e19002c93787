"""The command line of recipes/ and hub/: defaults in the help, and one line for a mistake.

Nothing here imports PyTorch, directly or indirectly, so help and mistakes are answered at once.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

EXIT_CODES = """exit codes:
  0    done
  1    failed; the last line says why
  2    wrong usage; nothing was computed or written
  130  interrupted (Ctrl-C); 143: another signal asked to stop"""


class MistypedError(ValueError):
    """A mistake on the command line that can be detected only with PyTorch; the exit code is 2, as for all mistakes."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help with unchanged texts, and with the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if any(default is none for none in (None, False, argparse.SUPPRESS)) or default == [] or "%(default)" in text:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else "%(default)s"
        return f"{text} (default: {shown})"


class Parser(argparse.ArgumentParser):
    """argparse with "did you mean", and with one line and exit code 2 for a mistake.

    Args:
        passes_on_to: The command that gets the options that this one does not know; `parse_known_args` returns them.
        settings: Settings of argparse.
    """

    def __init__(self, *, passes_on_to: "Parser | None" = None, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Help, "epilog": EXIT_CODES, **settings})
        self._others = passes_on_to._option_string_actions if passes_on_to else {}

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how to list the options; nothing else was done."""
        self.exit(2, f"error: {message.removeprefix('argument ')}. See `{self.prog} --help`\n")

    @contextmanager
    def typed_wrong(self) -> Iterator[None]:
        """A ValueError of the block is a mistake of the command line."""
        try:
            yield
        except ValueError as error:
            self.error(str(error))

    def add_alias(self, name: str, action: argparse.Action) -> None:
        """Add another name of an option that the help does not show."""
        self._option_string_actions[name] = action

    def parse_known_args(  # type: ignore[override]  # argparse's has three overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse like argparse, but report a mistyped option before the options that are missing because of it."""
        words = list(sys.argv[1:] if args is None else args)
        # What follows the name of a command is that command's.
        self._check_options(takewhile(lambda word: word.startswith("-"), words) if self._subparsers else words)
        return super().parse_known_args(words, namespace)

    def _check_options(self, words: Iterable[str]) -> None:
        known = {**self._option_string_actions, **self._others}
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                self.error(f"there is no option {name}{near(name, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None:
            name = max(action.option_strings, default=str(action.metavar or "command").lower(), key=len)
            with self.typed_wrong():
                check_known(name, value, list(action.choices))

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """As argparse, which says in place of a ValueError's words the name of the function that raised it."""
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if isinstance(error.__context__, ValueError) and action.type not in (int, float):
                raise argparse.ArgumentError(action, str(error.__context__)) from error
            raise


def near(word: str, options: Collection[str]) -> str:
    """A suggestion as a part of a sentence; empty if nothing is similar."""
    close = get_close_matches(word, options, n=2, cutoff=0.75)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def check_known(what: str, value: Any, options: Collection[Any]) -> None:
    """Refuse what is none of the options.

    Args:
        what: The value is, in words: the name of an option of the command line, for example.
        value: As it was typed.
        options: All that there are.

    Raises:
        ValueError: It is none; the message has what may have been meant, and lists the options.
    """
    if value not in options:
        names = list(map(str, options))
        raise ValueError(f"unknown {what} {str(value)!r}{near(str(value), names)}; choose from {', '.join(names)}")
