"""The options that several commands share; each has one name and one meaning."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from vgg_zoo_cli.command import Option
from vgg_zoo_cli.names import NETS, TIMMS_NETS, weights
from vgg_zoo_cli.photos import check_photos

Function = TypeVar("Function", bound=Callable[..., Any])
CONFIG = "config.json"
_Text: Any = click.ParamType  # generic only in some versions of click


def option(*names: str, group: str, **settings: Any) -> Callable[[Function], Function]:
    """A `click.option` under a heading of the help."""
    return click.option(*names, cls=Option, group=group, **settings)


class Model(_Text):
    """A name with weights or the folder of a net; anything else is refused before anything is imported."""

    name = "NAME|FOLDER"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the source as it was typed."""
        if Path(value).is_dir():
            if not (Path(value) / CONFIG).is_file():
                self.fail(f"{value} is not a folder of a net: it has no {CONFIG}", param, ctx)
        elif ":" not in value:
            _check_name(value, lambda message: self.fail(message, param, ctx))
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete names and folders."""
        found = [CompletionItem(name) for name in weights() if name.startswith(incomplete)]
        return [*found, CompletionItem(incomplete, type="dir")]


def _check_name(value: str, fail: Callable[[str], Any]) -> None:
    known, net = weights(), value.partition(".")[0]
    nets = [*NETS, *(f"{each}_box" for each in NETS), *TIMMS_NETS]
    of_net = [name for name in known if name.partition(".")[0] == net]
    if net not in nets:
        close = get_close_matches(value, [*known, *dict.fromkeys(name.partition(".")[0] for name in known)])
        hint = f"did you mean {' or '.join(close)}?" if close else f"the names with weights are {', '.join(known)}"
        fail(f"there is no net {value!r} and no folder of this name; {hint}")
    elif not of_net:
        fail(f"there are no weights {value!r}: nobody has published any for this net; give the folder of a trained one")
    elif value not in (net, *of_net):
        fail(f"there are no weights {value!r}: {net} has {', '.join(name.partition('.')[2] for name in of_net)}")


def _checked(ctx: click.Context, param: click.Parameter, words: Sequence[str]) -> Sequence[str]:
    try:
        check_photos(words)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error
    return words


photos = click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...", callback=_checked)
model = option("--model", group="Net", type=Model(), required=True, help="A name with weights, or a net's folder.")
device = option(
    "--device",
    group="Net",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Device of the net; auto uses a GPU if there is one.",
)
precision = option(
    "--precision",
    group="Net",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    help="Precision of the arithmetic; bf16 needs a CPU that supports it.",
)


def scales(text: str) -> Callable[[Function], Function]:
    """The option for Q, one or several; `text` is its help."""
    return option("--scales", group="Test", type=click.IntRange(min=1), numbers=True, metavar="Q...", help=text)


def dense(function: Function) -> Function:
    """The options of commands that apply one net densely to photos: photos, net, device, precision and scales."""
    of_net = scales("Smallest sides in pixels, one or several.  [default: the net's own, or 256 384 512]")
    for decorate in (of_net, precision, device, model, photos):  # the last decorator comes first in the help
        function = decorate(function)
    return function


top = option(
    "--top",
    group="Test",
    type=click.IntRange(min=1),
    default=5,
    metavar="N",
    help="Classes of each photo, likeliest first.",
)
overwrite = option(
    "--overwrite", group="Output", is_flag=True, help="Replace an existing output; without this option it is an error."
)


def output(what: str) -> Callable[[Function], Function]:
    """The option for the output of pictures; by default "PHOTO.what.png" in the current folder."""
    return option(
        "--output",
        group="Output",
        type=click.Path(path_type=Path),
        metavar="PNG|FOLDER",
        help=f"A PNG for one photo, a folder for any number.  [default: PHOTO.{what}.png here]",
    )
