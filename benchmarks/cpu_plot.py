"""The results of `benchmarks.cpu` as a plot."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cpu_table import Result, in_float32, milliseconds, rows
from benchmarks.situations import SITUATIONS

PEERS = 3
OURS, FLOAT32, OTHERS = "#0072B2", "#E69F00", "#999999"
"""Blue, orange and grey of Okabe and Ito's palette, which colour-blind readers tell apart."""


def plot(results: Sequence[Result], path: Path) -> None:
    """A panel for each net and shape, with the milliseconds of ours and of its three nearest peers as bars.

    It shows one situation: warm if it was measured, else the first of `SITUATIONS` that was.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    situation = next(each for each in SITUATIONS if any(result.situation == each for result in results))
    panels = rows(each for each in results if each.situation == situation)
    across = min(3, math.ceil(math.sqrt(len(panels))))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(4.5 * across, 1.6 * down + 1.2), layout="constrained")
    axes = iter(figure.subplots(down, across, squeeze=False).flat)
    for found, panel in zip(panels, axes, strict=False):
        _panel(found, panel)
    for left_over in axes:
        left_over.set_axis_off()
    colours = {"ours": OURS, "in float32": FLOAT32, "may take bfloat16": OTHERS}
    patches = [Patch(color=colour, label=label) for label, colour in colours.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
    machines = "\n".join(dict.fromkeys(each.machine for each in results if each.situation == situation))
    figure.suptitle(f"Milliseconds a pass, {situation}. {machines}", fontsize=9, wrap=True)
    figure.savefig(path, dpi=120)


def _panel(found: dict[str, Result], panel: Any) -> None:
    peers = sorted((each for name, each in found.items() if not name.startswith("ours")), key=lambda each: each.seconds)
    shown = [found[name] for name in ("ours", "ours, bf16") if name in found] + peers[:PEERS]
    names = [each.implementation for each in shown]
    colours = [OURS if name.startswith("ours") else FLOAT32 if in_float32(name) else OTHERS for name in names]
    bars = panel.barh(names, [1e3 * each.seconds for each in shown], color=colours, height=0.7)
    panel.bar_label(bars, [milliseconds(each.seconds) for each in shown], padding=3, fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.15)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    first = shown[0]
    panel.set_title(f"net {first.net}, {first.batch} × {first.side} × {first.side}", fontsize=9)
