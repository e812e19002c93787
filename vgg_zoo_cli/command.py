"""The base of all commands: options in groups, options that take several numbers, and errors in one line."""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import click

EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed, or some photos could not be processed
  2    wrong usage; nothing was computed or written
  130  interrupted (Ctrl-C)"""

_HELP = "Help"
_NUMBER = re.compile(r"-?\d+(\.\d*)?")


class Option(click.Option):
    """An option under one of the help's headings.

    Args:
        group: The heading.
        numbers: The option takes one or several numbers, `--scales 256 384 512`; the value is a tuple.
        silent: Other names of the option that the help does not show.
    """

    def __init__(
        self, names: Sequence[str], *, group: str, numbers: bool = False, silent: Sequence[str] = (), **settings: Any
    ) -> None:
        if numbers:
            settings["multiple"] = True
        super().__init__([*names, *silent], **settings)
        self.group, self.numbers, self.silent = group, numbers, silent

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The names for the help, and their text."""
        shown = copy.copy(self)
        shown.opts = [name for name in self.opts if name not in self.silent]
        return click.Option.get_help_record(shown, ctx)


class Command(click.Command):
    """A command whose help has its options by groups and ends with the exit codes."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings.setdefault("epilog", EXIT_CODES)
        settings.setdefault("context_settings", {"show_default": True, "help_option_names": ["-h", "--help"]})
        super().__init__(*arguments, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; click has no option with any number of values."""
        several = {name for each in self.params if getattr(each, "numbers", False) for name in each.opts}
        return super().parse_args(ctx, repeated(args, several))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each group, in the order in which they first occur."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                groups.setdefault(getattr(parameter, "group", _HELP), []).append(record)
        groups[_HELP] = groups.pop(_HELP)  # the last group
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def repeated(words: Sequence[str], several: set[str]) -> list[str]:
    """Rewrite `--scales 256 384 photo.jpg` for click: `--scales=256 --scales=384 photo.jpg`.

    Args:
        words: Words of the command line.
        several: Options that take several numbers.
    """
    found: list[str] = []
    name = None
    for place, word in enumerate(words):
        if word == "--":
            return found + list(words[place:])
        if name is not None and _NUMBER.fullmatch(word):
            found.append(f"{name}={word}")
            continue
        name = word if word in several else None
        following = words[place + 1 : place + 2]
        if name is None or not following or not _NUMBER.fullmatch(following[0]):
            found.append(word)  # click reports what is missing
    return found


def near(word: str, options: Sequence[str]) -> str:
    """Similar options as the end of a sentence, or else all options."""
    close = get_close_matches(word, options)
    return f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(options)}"


@contextmanager
def typed_wrong() -> Iterator[None]:
    """Turn a ValueError of the block into a usage error: exit code 2."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def line_of(error: BaseException) -> str:
    """An error in one line; a usage error also says how to get help."""
    if isinstance(error, click.NoSuchOption):
        close = error.possibilities
        text = f"no such option {error.option_name!r}" + (f"; did you mean {' or '.join(close)}?" if close else "")
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    else:
        text = str(error) or type(error).__name__
    text = " ".join(text.split())
    if isinstance(error, click.UsageError):
        text = text.removeprefix("Invalid value for ").removeprefix("Invalid value: ")
        text = text[:1].lower() + text[1:] if text[1:2].islower() else text
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text = f"{text.rstrip('.')}{'' if text.endswith('?') else '.'} See `{error.ctx.command_path} --help`"
    return text
