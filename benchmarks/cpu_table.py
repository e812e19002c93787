"""The results of `benchmarks.cpu` as lines of Markdown tables and of a CSV; and the goals for net E."""

from collections.abc import Iterable, Sequence
from csv import DictReader
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, get_type_hints

from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.nets import NETS
from benchmarks.situations import SITUATIONS

GOALS: dict[str, dict[tuple[str, int, int, str], float]] = {
    "ours": {
        ("E", 224, 1, "warm"): 1.6,
        ("E", 224, 1, "cold"): 1.3,
        ("E", 224, 1, "busy"): 1.2,
        ("E", 224, 8, "warm"): 2.0,
        ("E", 384, 1, "warm"): 1.7,
        ("E", 512, 1, "warm"): 1.7,
    },
    "ours, bf16": {
        ("E", 224, 1, "warm"): 1.15,
        ("E", 224, 1, "cold"): 1.1,
        ("E", 224, 1, "busy"): 1.1,
        ("E", 224, 8, "warm"): 1.15,
        ("E", 384, 1, "warm"): 1.2,
        ("E", 512, 1, "warm"): 1.2,
    },
}
"""For a net, side, batch and situation: how many times the time of ours its nearest peer should at least take.

The peers of `ours` are those that compute in float32, those of `ours, bf16` all.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One implementation on images of one shape in one situation.

    Attributes:
        net: The paper's name.
        side: Of the images, in pixels.
        batch: How many.
        situation: A key of `benchmarks.situations.SITUATIONS`.
        implementation: A key of `benchmarks.implementations.IMPLEMENTATIONS`.
        seconds: The median.
        rounds: Of how many.
        difference: Largest difference of a class score from the reference's, over the largest score.
        machine: On which, and with which versions.
        peak: Multiplications a second, with their additions, of a large float32 matrix product on that day.
        peak_bf16: Likewise in bfloat16; None where the CPU has no instructions for it, or nobody measured it.
        bandwidth: Bytes a second that a large copy reads and writes; None where nobody measured it.
        of_bound: max(bytes ÷ bandwidth, multiplications ÷ peak) of what ours does ÷ seconds; None for others.
    """

    net: str
    side: int
    batch: int
    situation: str
    implementation: str
    seconds: float
    rounds: int
    difference: float
    machine: str
    peak: float
    peak_bf16: float | None = None
    bandwidth: float | None = None
    of_bound: float | None = None

    @property
    def row(self) -> tuple[str, int, int, str]:
        """What the results of one line of the table share."""
        return self.net, self.side, self.batch, self.situation


def _number(text: str) -> float | None:
    return float(text) if text else None


def ratio(result: Result | None, ours: Result | None) -> float | None:
    """Other ÷ ours: above 1 means that ours is faster."""
    return result.seconds / ours.seconds if result and ours else None


def in_float32(name: str) -> bool:
    """Whether an implementation computes in float32 on every CPU."""
    return name in IMPLEMENTATIONS and IMPLEMENTATIONS[name].float32


def nearest(found: dict[str, Result], *, float32: bool) -> Result | None:
    """The fastest peer of a line, among those in float32 or among all; the zoo's own net is none."""
    peers = [each for name, each in found.items() if not name.startswith("ours") and (in_float32(name) or not float32)]
    return min(peers, key=lambda each: each.seconds, default=None)


def goal_of(found: dict[str, Result], ours: str) -> str:
    """ "1.6: met", "1.6: not met", or "" where a line has no goal or nothing to compare with."""
    if ours not in found:
        return ""
    least = GOALS.get(ours, {}).get(found[ours].row)
    times = ratio(nearest(found, float32=ours == "ours"), found[ours])
    return "" if least is None or times is None else f"{least:g}: {'met' if times >= least else 'not met'}"


def rows(results: Iterable[Result]) -> list[dict[str, Result]]:
    """The results by line of the table and by implementation."""
    return [{each.implementation: each for each in group} for _, group in groupby(results, lambda each: each.row)]


def read_csv(path: Path) -> list[Result]:
    """The results in a file of `csv_lines`.

    Raises:
        ValueError: It has other columns.
    """
    hints = get_type_hints(Result)
    kinds: dict[str, Any] = {name: kind if kind in (str, int, float) else _number for name, kind in hints.items()}
    with path.open(newline="") as file:
        lines = DictReader(file)
        lacking = [name for name in kinds if name not in (lines.fieldnames or ())]
        if lacking:
            raise ValueError(f"{path} has no column {', '.join(lacking)}: measure the whole table, without --add")
        return [Result(**{name: kind(line[name]) for name, kind in kinds.items()}) for line in lines]


def with_others(results: Sequence[Result], others: Iterable[Result]) -> list[Result]:
    """The results, and those of other lines of the table, in its order.

    Args:
        results: What was measured now.
        others: What was measured before; a line that has been measured again is left out.
    """
    again = {each.row for each in results}
    together = [*results, *(each for each in others if each.row not in again)]
    nets, situations, names = list(NETS), list(SITUATIONS), list(IMPLEMENTATIONS)

    def place(each: Result) -> tuple[int, ...]:
        name = names.index(each.implementation) if each.implementation in names else len(names)
        return nets.index(each.net), each.side, each.batch, situations.index(each.situation), name

    return sorted(together, key=place)


def csv_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """One line for each result."""
    lines = []
    for found in rows(results):
        for name, result in found.items():
            line = {key: "" if value is None else str(value) for key, value in asdict(result).items()}
            times = ratio(result, found.get("ours"))
            line["times ours"] = "" if times is None else f"{times:.3f}"
            lines.append(line | {"goal": goal_of(found, name)})
    return lines


def table_lines(results: Sequence[Result], implementations: Sequence[str]) -> list[dict[str, str]]:
    """One line for each net, shape and situation: milliseconds, and in brackets how many times those of ours."""
    lines = []
    for found in rows(results):
        ours, bf16, one = found.get("ours"), found.get("ours, bf16"), next(iter(found.values()))
        line = {"net": one.net, "image": str(one.side), "batch": str(one.batch), "situation": one.situation}
        line |= {f"{name} (ms)": _cell(found.get(name), ours) for name in implementations}
        line["ours, of the bound"] = f"{ours.of_bound:.2f}" if ours and ours.of_bound is not None else "–"
        if "ours, bf16" in implementations:
            line["ours, bf16, of the bound"] = f"{bf16.of_bound:.2f}" if bf16 and bf16.of_bound is not None else "–"
        goals = [f"{name} {goal}" for name in GOALS if (goal := goal_of(found, name))]
        lines.append(
            line | {"median of": _span(each.rounds for each in found.values()), "goal": "; ".join(goals) or "–"}
        )
    return lines


def _span(counts: Iterable[int]) -> str:
    low, high = min(counts := list(counts)), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def milliseconds(seconds: float) -> str:
    """Three digits, or all before the point."""
    return f"{1e3 * seconds:.1f}" if seconds < 0.1 else f"{1e3 * seconds:.0f}"


def _cell(result: Result | None, ours: Result | None) -> str:
    if result is None:
        return "–"
    times = ratio(result, ours)
    return milliseconds(result.seconds) + (f" ({times:.2f})" if times is not None and result is not ours else "")


def about_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """One line for each implementation: its settings, and by how much its scores are off."""
    names = [name for name in IMPLEMENTATIONS if any(each.implementation == name for each in results)]
    errors = {name: max(each.difference for each in results if each.implementation == name) for name in names}
    return [
        {
            "implementation": name,
            "settings": IMPLEMENTATIONS[name].about,
            "in float32": "yes" if in_float32(name) else "it may take bfloat16",
            "relative error, at most": f"{errors[name]:.0e}",
        }
        for name in names
    ]


def rate_lines(results: Sequence[Result]) -> list[dict[str, str]]:
    """What the machine can do, one line for each machine."""
    machines = dict.fromkeys(each.machine for each in results)
    return [
        {
            "machine": machine,
            "float32 (10⁹ a second)": _rates(each.peak for each in results if each.machine == machine),
            "bfloat16 (10⁹ a second)": _rates(each.peak_bf16 for each in results if each.machine == machine),
            "copy (GB/s)": _rates(each.bandwidth for each in results if each.machine == machine),
        }
        for machine in machines
    ]


def _rates(values: Iterable[float | None]) -> str:
    """From the lowest to the highest, as the lines were measured at several times."""
    found = sorted({f"{value / 1e9:.0f}" for value in values if value is not None}, key=float)
    return "–" if not found else found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"
