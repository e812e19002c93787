"""The look of every command: a title line, progress, a table at the end, and the list of written files.

Results go to standard output: a table on a terminal, tab-separated lines elsewhere. Everything else goes to standard
error, with a progress bar if it is a terminal.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vgg_zoo_cli.photos import ignored_files

MOST_NAMED = 20
"""Maximum number of files that are listed one by one at the end."""


def title(command: str, *parts: str) -> None:
    """The first line: the command, the net, and how it is used."""
    _console().print(" · ".join([f"vgg-zoo {command}", *parts]), style="bold")


def _console() -> Any:
    from rich.console import Console  # takes a tenth of a second, which mistakes need not wait for

    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


class Progress:
    """Counts of finished photos and of those that could not be read; the latter are reported at once.

    Attributes:
        done: Number of photos so far.
        unreadable: Number of them that could not be read.
    """

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task
        self.done = self.unreadable = 0

    def step(self, photo: str, error: str | None = None) -> None:
        """Count one more photo, and report it if it could not be read."""
        self.done += 1
        self._bar.advance(self._task)
        if error is not None:
            self.unreadable += 1
            self._bar.console.print(f"unreadable: {photo}: {error}")

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if some photos could not be read, else 0."""
        return int(self.unreadable > 0)

    def totals(self) -> dict[str, str]:
        """Rows of the table at the end."""
        seconds = self._bar.tasks[0].elapsed or 0.0
        rate = f" ({self.done / seconds:.1f} photos/s)" if seconds else ""
        return {
            "photos": f"{self.done - self.unreadable:,}",
            "unreadable": f"{self.unreadable:,}",
            "time": f"{seconds:.1f} s{rate}",
        }


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Count photos; on a terminal, with a progress bar that shows number, rate and remaining time."""
    from rich import progress as rich
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        """The rate; rich has its own column only for bytes."""

        def render(self, task: rich.Task) -> Text:
            return Text(f"{task.speed:.1f} photos/s" if task.speed else "")

    columns = (
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        Rate(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("ETA"),
        rich.TimeRemainingColumn(),
    )
    console = _console()
    with rich.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        yield Progress(bar, bar.add_task("photos", total=total))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Results on standard output.

    Args:
        head: The columns' names.
        rows: The cells.
        numbers: Columns that are aligned to the right.
    """
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for name in head:
        drawn.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)


def finish(totals: Mapping[str, str], written: Sequence[Path] = ()) -> None:
    """The last lines: a table of totals, and all written files."""
    console = _console()
    width = max(map(len, totals), default=0)
    for name, value in totals.items():
        console.print(f"{name:{width}}  {value}")
    for path in written:
        console.print(f"wrote {path}")


def note(text: str) -> None:
    """Print a line to standard error."""
    _console().print(text)


class Lines:
    """Print the results of each photo as they come; nothing is kept.

    Args:
        head: Names of the columns, after the photo.
    """

    def __init__(self, head: Sequence[str]) -> None:
        self.terminal = sys.stdout.isatty()
        if not self.terminal:
            print("\t".join(("photo", *head)))

    def add(self, photo: str, rows: Sequence[Sequence[str]]) -> None:
        """The rows of one photo."""
        if self.terminal:
            print(photo)
        for row in rows:
            cells = [cell.replace("\t", " ").replace("\n", " ") for cell in row]
            print("  " + "  ".join(cells) if self.terminal else "\t".join((photo, *cells)))
        sys.stdout.flush()


def finish_photos(going: Progress, words: Sequence[str], written: Sequence[Path]) -> None:
    """The last lines of a command on photos.

    Args:
        going: The finished count.
        words: The photos as they were typed.
        written: Written files; if there are many, only the folder and the number are printed.
    """
    totals = going.totals()
    if ignored := ignored_files(words):
        totals["ignored"] = f"{ignored:,} (not named like photos)"
    if len(written) > MOST_NAMED:
        totals["pictures"] = f"{len(written):,} files in {Path(os.path.commonpath([path.parent for path in written]))}"
        written = ()
    finish(totals, written)
