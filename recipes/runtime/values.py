"""What values of options may be, as far as it is known before anything is imported; texts are read for argparse."""

import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from command_line.parser import check_known, near
from command_line.values import beside, file_there, folder_with
from recipes.names import BUNDLED, TRACKERS

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")

RESULTS = "results.json"
"""Of `vgg_zoo.results`: what a test leaves in its --output."""


def is_known_here() -> bool:
    """Whether names and paths can be judged before anything is imported.

    Not where the libraries are imported already: who calls a command from Python may have nets and protocols of his
    own. Nor in a job of several machines: not every path need be there on each of them.
    """
    return "timm" not in sys.modules and os.environ.get("WORLD_SIZE", "1") == os.environ.get("LOCAL_WORLD_SIZE", "1")


def known(what: str, options: Collection[str]) -> Callable[[str], str]:
    """Reads one of the options, or what a caller from Python may have added to them."""

    def read(text: str) -> str:
        if is_known_here():
            check_known(what, text, options)
        return text

    return read


def net(text: str) -> str:
    """Reads a name that timm loads with weights, or the folder of a net, by the rule of `vgg-zoo`."""
    if is_known_here():
        from click import UsageError  # for a net alone, and not for the help

        from vgg_zoo_cli.options import Model

        try:
            Model().convert(text, None, None)
        except UsageError as error:
            raise ValueError(error.message) from error
    return text


def existing_file(text: str) -> Path:
    """Reads the path of a file."""
    return file_there(text) if is_known_here() else Path(text)


def output_of(*commands: str) -> Callable[[str], Path]:
    """Reads the --output of a command that left its results there."""
    of = f"the --output of {' or '.join(f'recipes/{command}.py' for command in commands)}"
    there = folder_with(RESULTS, of=of)
    return lambda text: there(text) if is_known_here() else Path(text)


def checkpoint(text: str) -> str:
    """Reads "auto" or the folder of a checkpoint."""
    if text != "auto" and is_known_here():
        folder_with(of="auto or a folder in OUTPUT/checkpoints")(text)
    return text


def data_set(text: str) -> str:
    """Reads what names images: no mistyped bundled set, and no path that is neither there nor an id of the Hub."""
    path = Path(text).expanduser()
    if is_known_here() and text not in BUNDLED and (meant := near(text, BUNDLED)) and not path.exists():
        raise ValueError(f"there is no data set {text!r}{meant}; one of the Hub is given as namespace/name")
    if is_known_here() and ":" not in text and not _HUB_ID.fullmatch(text) and not path.exists():
        raise ValueError(
            f"there is no file or folder {text}{beside(path)}; give one, 'digits', or the id of a data set on the Hub"
        )
    return text


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker that is not installed, which Accelerate would leave out silently.

    Raises:
        ValueError: One is not.
    """
    for name in names:
        packages = ("tensorboard", "tensorboardX") if name == "tensorboard" else (name,)
        if name in TRACKERS[:-1] and not any(map(_is_installed, packages)):
            raise ValueError(f"--trackers {name}: it is not installed; pip install {name}")


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
