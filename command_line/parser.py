"""The command line of recipes/ and hub/: defaults in the help, and one line for what is typed wrong.

Nothing here imports PyTorch or what stands on it, so that help and mistakes are answered at once.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

EXIT_CODES = """exit codes:
  0    done
  1    it could not be done; the last line says why
  2    typed wrong; nothing was computed or written
  130  interrupted (Ctrl-C); 143: another signal asked to stop"""


class MistypedError(ValueError):
    """What is typed wrong and needs PyTorch to be known for it; the exit code is 2, as for all that is typed wrong."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Texts as they are written, and the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if any(default is none for none in (None, False, argparse.SUPPRESS)) or default == [] or "%(default)" in text:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else "%(default)s"
        return f"{text} (default: {shown})"


class Parser(argparse.ArgumentParser):
    """argparse with "did you mean", and with one line and exit code 2 for a mistake.

    Args:
        passes_on_to: Of the command that gets the options that this one does not know; `parse_known_args` returns them.
        settings: Of argparse.
    """

    def __init__(self, *, passes_on_to: "Parser | None" = None, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Help, "epilog": EXIT_CODES, **settings})
        self._others = passes_on_to._option_string_actions if passes_on_to else {}

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the options are; nothing else was done."""
        self.exit(2, f"error: {message}. See `{self.prog} --help`\n")

    def add_alias(self, name: str, action: argparse.Action) -> None:
        """Another name of an option, which the help leaves out."""
        self._option_string_actions[name] = action

    def parse_known_args(  # type: ignore[override]  # argparse's has three overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse, which would first complain of what a mistyped option leaves out."""
        words = list(sys.argv[1:] if args is None else args)
        if self._subparsers is None:  # whose options are not this parser's
            self._check_options(words)
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
        if action.choices is not None and value not in action.choices:
            name, options = max(action.option_strings, default="command", key=len), list(map(str, action.choices))
            self.error(f"unknown {name} {str(value)!r}{near(str(value), options)}; choose from {', '.join(options)}")


def near(word: str, options: Collection[str]) -> str:
    """What may have been meant, as a part of a sentence; empty where nothing is near."""
    close = get_close_matches(word, options, n=2, cutoff=0.75)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
