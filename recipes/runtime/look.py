"""How every command looks: a title, a bar with the time that is left, figures at the end, and what was written.

These functions make text and bars; a command prints them in its main process alone.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from tqdm import tqdm


def title(command: str, *parts: str) -> str:
    """The first line: the command, what it works on, and how."""
    return " · ".join([command, *parts])


def progress(total: int, shown: bool = True, *, initial: int = 0, unit: str = " images", **options: Any) -> Any:
    """A bar of tqdm's on standard error, with count, rate and the time that is left.

    Args:
        total: Of the work.
        shown: False in all processes but the main one.
        initial: What is done already.
        unit: Of the work.
        **options: Further ones of tqdm's.
    """
    seconds = 0.5 if sys.stderr.isatty() else 20  # each time is a line of a log
    return tqdm(total=total, initial=initial, unit=unit, disable=not shown, mininterval=seconds, **options)


def show_bars_of_datasets(shown: bool) -> None:
    """Show or hide the progress bars of `datasets`; where HF_DATASETS_DISABLE_PROGRESS_BARS is set, it decides."""
    if datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is None:
        (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()


def already_done(folder: Path) -> str:
    """What a finished run says that is given again."""
    return f"already done: {folder} is finished; --overwrite does it again, another --output beside it"


def ending(figures: Mapping[str, str], written: Mapping[Path, str], verb: str = "wrote") -> str:
    """The last lines: a table of figures, and each file and folder with its size and what it is.

    Args:
        figures: By name.
        written: What each path is. A folder stands for all that is in it; a path where nothing is has no line.
        verb: That a line of `written` begins with.
    """
    width = max(map(len, figures), default=0)
    lines = [f"{name:{width}}  {figure}" for name, figure in figures.items()]
    found = [_listed(path, what) for path, what in written.items() if path.exists()]
    width = max((len(name) for name, *_ in found), default=0)
    return "\n".join(lines + [f"{verb} {name:{width}}  {size:>7}  {what}".rstrip() for name, size, what in found])


def _listed(path: Path, what: str) -> tuple[str, str, str]:
    """A path as it is shown, its size, and what it is."""
    if not path.is_dir():
        return str(path), in_bytes(path.stat().st_size), what
    files = [file for file in path.rglob("*") if file.is_file()]
    count = f"{len(files):,} file{'s' if len(files) != 1 else ''}"
    return f"{path}/", in_bytes(sum(file.stat().st_size for file in files)), ": ".join(filter(None, [count, what]))


def in_bytes(size: float) -> str:
    """A file's size as people say it: "912 B", "4.2 MB"."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 999.5 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
