"""The results of `benchmarks.cpu` as a plot, on a light and on a dark ground.

    python -m benchmarks.cpu_plot benchmarks/results/cpu.csv    # draws cpu.png and cpu_dark.png again

`benchmarks.cpu` draws them by itself.
"""

import argparse
import math
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cpu_table import Result, in_float32, milliseconds, read_csv, rows
from benchmarks.situations import SITUATIONS
from recipes.runtime.command import command, command_parser
from recipes.runtime.files import write_picture
from vgg_zoo.style import SMALL, THEMES, WIDTH, Theme, footnote, title

PEERS = 3
GROUPS = {True: "in float32", False: "may compute in bfloat16"}
"""Of implementations, by whether they compute in float32 on every CPU."""

Bars = list[tuple[str, float | None]]
"""Names and seconds from top to bottom; None for the name of a group."""


def plot(results: Sequence[Result], path: Path) -> list[Path]:
    """Write a panel for each net and shape, with milliseconds of ours, its nearest peers and timm as bars.

    Args:
        results: At least one.
        path: Of the light picture; the dark one's has "_dark" behind its stem.

    Returns:
        Both paths.

    Raises:
        ImportError: matplotlib is not installed.
    """
    shown = shown_of(results)
    paths = [path.with_stem(path.stem + suffix) for suffix in THEMES]
    for target, theme in zip(paths, THEMES.values(), strict=True):
        write_picture(target, partial(draw, shown), theme)
    return paths


def shown_of(results: Sequence[Result]) -> list[Result]:
    """The results in one situation: warm if it was measured, else the first of `SITUATIONS` that was."""
    situation = next(each for each in SITUATIONS if any(result.situation == each for result in results))
    return [each for each in results if each.situation == situation]


def draw(results: Sequence[Result], figure: Any, theme: Theme) -> None:
    """A panel for each net and shape, of results in one situation."""
    panels = rows(results)
    bars = [bars_of(found) for found in panels]
    across = 1 if len(panels) == 1 else 2 if len(panels) <= 8 else 3
    down = math.ceil(len(panels) / across)
    tallest = max(map(len, bars))
    figure.set_size_inches(WIDTH if across < 3 else 1.4 * WIDTH, down * (0.2 * tallest + 0.35) + 1.0)
    figure.set_layout_engine("constrained", hspace=0.06, wspace=0.04)
    title(figure, f"Milliseconds a pass, {results[0].situation}")
    machines = "; ".join(dict.fromkeys(each.machine for each in results))
    footnote(figure, "\n".join(textwrap.wrap(machines, 125 if across < 3 else 175)), theme)
    grid = figure.subplots(down, across, squeeze=False)
    for found, of_panel, panel in zip(panels, bars, grid.flat, strict=False):
        one = next(iter(found.values()))
        panel.set_title(
            f"net {one.net}, {one.batch} × {one.side} × {one.side}",
            color=theme.ink,
            fontweight="bold",
            fontsize=SMALL + 0.5,
        )
        _panel(of_panel, panel, theme)
    for left_over in grid.flat[len(panels) :]:
        left_over.remove()


def bars_of(found: dict[str, Result]) -> Bars:
    """Of a line of the table: for each group its name, and ours, the nearest peers and timm, the fastest first."""
    bars: Bars = []
    for float32, name in GROUPS.items():
        of_group = sorted((each for each in found.values() if _is_float32(each) is float32), key=_seconds)
        ours = [each for each in of_group if each.implementation in ("ours", "ours, bf16")]
        peers = [each for each in of_group if not _is_ours(each.implementation)]
        shown = {each.implementation: each for each in [*ours, *peers[:PEERS]]}
        shown |= {each.implementation: each for each in peers if each.implementation == "timm"}
        if shown:
            bars += [
                (name, None),
                *((each.implementation, each.seconds) for each in sorted(shown.values(), key=_seconds)),
            ]
    return bars


def _is_float32(result: Result) -> bool:
    return in_float32(result.implementation)


def _is_ours(implementation: str) -> bool:
    return implementation.startswith("ours")


def _seconds(result: Result) -> float:
    return result.seconds


def _panel(bars: Bars, panel: Any, theme: Theme) -> None:
    for place, (name, seconds) in enumerate(bars):
        if seconds is None:
            panel.text(0, place + 0.12, name, va="center_baseline", fontsize=SMALL, color=theme.quiet)
            continue
        colour = theme.series[0] if _is_ours(name) else theme.other
        panel.barh(place, 1e3 * seconds, color=colour, height=0.72)
        panel.annotate(
            milliseconds(seconds),
            (1e3 * seconds, place),
            (3, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=SMALL,
        )
    measured = [(place, name) for place, (name, seconds) in enumerate(bars) if seconds is not None]
    panel.set_yticks(*zip(*measured, strict=True))
    for label, (_, name) in zip(panel.get_yticklabels(), measured, strict=True):
        label.set(color=theme.ink, fontweight="bold" if _is_ours(name) else "normal")
    panel.set(ylim=(len(bars) - 0.5, -0.35), xticks=())
    panel.margins(x=0.12)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = command_parser(__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="CSV", help="that benchmarks.cpu wrote")
    args = parser.parse_args(arguments)
    for path in args.results:
        if not path.is_file():
            parser.error(f"there is no file {path}; benchmarks.cpu writes OUTPUT.csv")
    return args


def run(args: argparse.Namespace) -> None:
    """Draw each file's results beside it; all of them are read first."""
    found = {path: read_csv(path) for path in args.results}
    for path in (path for path, results in found.items() if not results):
        raise ValueError(f"{path} has no results")
    for path, results in found.items():
        print("wrote", *plot(results, path.with_suffix(".png")))


main = command(run, options)

if __name__ == "__main__":
    sys.exit(main())
