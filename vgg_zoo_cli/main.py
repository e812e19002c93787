"""The entry point of `vgg-zoo`: its commands, and the handling of their errors."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from vgg_zoo_cli.command import EXIT_CODES, line_of, near

COMMANDS = ("list", "predict", "explain", "localise", "features", "convert", "verify", "bench")


class Commands(click.Group):
    """The commands; the module of a command is imported when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"vgg_zoo_cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as click does; an error suggests similar names."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            raise click.UsageError(f"no such command {word!r}; {near(word, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"vgg-zoo {version('vgg-zoo')}")
        ctx.exit()


@click.group(
    name="vgg-zoo",
    cls=Commands,
    epilog=EXIT_CODES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def vgg_zoo(ctx: click.Context) -> None:
    """Run and inspect the nets of the VGG paper (Simonyan & Zisserman, arXiv 1409.1556).

    A net is a name with weights (`vgg-zoo list` shows them) or a folder; photos are files, folders, globs in quotes,
    and http(s) addresses. Results go to standard output, everything else to standard error.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; without any, print the help.

    Args:
        arguments: The words after `vgg-zoo`; None takes those of the process.

    Returns:
        The exit code: 0 done, 1 failed, or some photos could not be processed, 2 wrong usage, 130 interrupted.
    """
    try:
        words = None if arguments is None else list(arguments)
        return int(vgg_zoo.main(words, prog_name="vgg-zoo", standalone_mode=False) or 0)
    except (click.Abort, KeyboardInterrupt):
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed the output, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (click.ClickException, ValueError, OSError, ImportError) as error:
        print(f"error: {line_of(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, click.ClickException) else 1
