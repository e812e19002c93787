"""The results of `benchmarks.cpu` as lines of a Markdown table, of a CSV, and as a plot; and the goals for net E."""

from collections.abc import Iterable, Sequence
from csv import DictReader
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import get_type_hints

GOALS: dict[tuple[str, int, int], dict[str, float]] = {
    ("E", 224, 1): {"ONNX Runtime": 1.25, "timm": 2.4, "torchvision": 1.7},
    ("E", 224, 8): {"ONNX Runtime": 1.4, "timm": 1.5, "torchvision": 1.5},
    ("E", 384, 1): {"ONNX Runtime": 1.6, "timm": 2.0},
    ("E", 512, 1): {"ONNX Runtime": 1.6, "timm": 2.0},
}
"""For a net, side and batch: how many times the time of ours the others should at least take."""

MEMORY_GOAL = 1.6
"""How many times timm's peak memory ours may at most be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One implementation on images of one shape.

    Attributes:
        net: The paper's name.
        side: Of the images, in pixels.
        batch: How many.
        implementation: A key of `benchmarks.implementations.BUILDERS`.
        seconds: The median.
        rounds: Of how many.
        difference: Largest difference of a class score from the reference's, over the largest score.
        peak: Multiplications a second, with their additions, of a large matrix product in the same process.
        machine: On which, and with which versions.
        of_peak: Multiplications of a direct convolution ÷ seconds ÷ the peak; above 1 for one that does fewer.
        done_of_peak: The multiplications that are really done, likewise; None where nobody knows.
    """

    net: str
    side: int
    batch: int
    implementation: str
    seconds: float
    rounds: int
    difference: float
    peak: float
    machine: str
    of_peak: float
    done_of_peak: float | None = None

    @property
    def row(self) -> tuple[str, int, int]:
        """What the results of one line of the table share."""
        return self.net, self.side, self.batch


def ratio(result: Result, ours: Result | None) -> float | None:
    """Other ÷ ours: above 1 means that ours is faster."""
    return result.seconds / ours.seconds if ours else None


def goal_of(result: Result, ours: Result | None) -> str:
    """ "met", "not met", or "" where there is no goal or nothing to compare with."""
    least, found = GOALS.get(result.row, {}).get(result.implementation), ratio(result, ours)
    if least is None or found is None:
        return ""
    return f"at least {least:g}: {'met' if found >= least else 'not met'}"


def rows(results: Iterable[Result]) -> list[dict[str, Result]]:
    """The results by line of the table and by implementation."""
    return [{each.implementation: each for each in group} for _, group in groupby(results, lambda each: each.row)]


def read_csv(path: Path) -> list[Result]:
    """The results in a file of `csv_lines`.

    Raises:
        ValueError: It has other columns.
    """
    kinds = get_type_hints(Result) | {"done_of_peak": lambda text: float(text) if text else None}
    with path.open(newline="") as file:
        lines = DictReader(file)
        lacking = [name for name in kinds if name not in (lines.fieldnames or ())]
        if lacking:
            raise ValueError(f"{path} has no column {', '.join(lacking)}: measure the whole table, without --add")
        return [Result(**{name: kind(line[name]) for name, kind in kinds.items()}) for line in lines]


def with_others(results: Sequence[Result], others: Iterable[Result], nets: Sequence[str]) -> list[Result]:
    """The results, and those of other lines of the table, in its order.

    Args:
        results: What was measured now.
        others: What was measured before; a line that has been measured again is left out.
        nets: In the order of the table.
    """
    again = {each.row for each in results}
    together = [*results, *(each for each in others if each.row not in again)]
    return sorted(together, key=lambda each: (nets.index(each.net), each.side, each.batch))


def csv_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """One line for each result."""
    lines = []
    for found in rows(results):
        for result in found.values():
            line = {key: "" if value is None else str(value) for key, value in asdict(result).items()}
            times = ratio(result, found.get("ours"))
            line["times ours"] = "" if times is None else f"{times:.3f}"
            lines.append(line | {"goal": goal_of(result, found.get("ours"))})
    return lines


def table_lines(results: Sequence[Result], implementations: Sequence[str]) -> list[dict[str, str]]:
    """One line for each net and shape: seconds, and in brackets how many times those of ours that is."""
    lines = []
    for found in rows(results):
        ours, any_of_them = found.get("ours"), next(iter(found.values()))
        line = {"net": any_of_them.net, "image": str(any_of_them.side), "batch": str(any_of_them.batch)}
        line |= {f"{name} (s)": _cell(found.get(name), ours) for name in implementations}
        line["ours, of the peak"] = f"{ours.of_peak:.2f}" if ours else "–"
        line["really done"] = f"{ours.done_of_peak:.2f}" if ours and ours.done_of_peak is not None else "–"
        lines.append(line | {"median of": str(any_of_them.rounds), "goal": _goal(found)})
    return lines


def _cell(result: Result | None, ours: Result | None) -> str:
    if result is None:
        return "–"
    times = ratio(result, ours)
    return f"{result.seconds:.3f}" + (f" ({times:.2f})" if times is not None and result is not ours else "")


def _goal(found: dict[str, Result]) -> str:
    """ "met", or what is not; "–" where there is none."""
    judged = {name: goal_of(result, found.get("ours")) for name, result in found.items()}
    judged = {name: goal for name, goal in judged.items() if goal}
    failed = [f"{name} {goal}" for name, goal in judged.items() if goal.endswith("not met")]
    return "; ".join(failed) if failed else "met" if judged else "–"


def plot(results: Sequence[Result], implementations: Sequence[str], path: Path) -> None:
    """A panel for each shape, with the others' seconds over ours (or, without ours, the seconds) as bars.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    sides, batches = sorted({each.side for each in results}), sorted({each.batch for each in results})
    nets = list(dict.fromkeys(each.net for each in results))
    compared = any(each.implementation == "ours" for each in results)
    figure = Figure(figsize=(5 * len(sides), 3.2 * len(batches)), layout="constrained")
    axes = figure.subplots(len(batches), len(sides), squeeze=False)
    found = {each[next(iter(each))].row: each for each in rows(results)}
    for batch, line in zip(batches, axes, strict=True):
        for side, panel in zip(sides, line, strict=True):
            for place, name in enumerate(implementations):
                here = [(x, found.get((net, side, batch), {})) for x, net in enumerate(nets)]
                bars = [(x, row[name], row.get("ours")) for x, row in here if name in row]
                heights = [ratio(result, ours) or result.seconds for _, result, ours in bars]
                width = 0.8 / len(implementations)
                panel.bar([x + place * width for x, *_ in bars], heights, width, label=name, color=f"C{place}")
            panel.set_title(f"batch {batch}, {side} × {side}")
            panel.set_xticks([x + 0.4 * (1 - 1 / len(implementations)) for x in range(len(nets))], nets)
            panel.axhline(1, color="black", linewidth=0.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(implementations))
    figure.supylabel("time ÷ ours" if compared else "seconds")
    figure.savefig(path, dpi=120)
