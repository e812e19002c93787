"""Tables 3 to 6 from results of recipes/evaluate.py and fuse.py, with the paper's own figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.evaluation.error_rates import ErrorRates, wilson_interval
from recipes.runtime.files import markdown, write_picture
from vgg_zoo.configurations import TABLE_1
from vgg_zoo.paper import ILSVRC, PaperBoxNet, PaperNet, PaperResult, paper_result

WORDS = {"dense": "dense", "multi_crop": "multi-crop", "multi_crop_and_dense": "multi-crop & dense"}
NOTES = {
    "softmax_first": (True, "soft-max before the mean over positions"),
    "ceil_mode": (True, "Caffe's pooling"),
    "flip": (False, "no flips"),
}
"""Unusual settings and the notes about them."""

_HEAD = ["net", "S", "Q", "protocol", "top-1 error", "top-5 error", "images", "paper", "difference"]
_PLACES = {name: place for place, name in enumerate(TABLE_1)}


@dataclass(frozen=True, slots=True)
class ClassResult:
    """The content of one results.json of labelled images."""

    models: tuple[str, ...]
    as_the_papers: tuple[PaperNet, ...]
    notes: tuple[str, ...]
    data_set: tuple[str, str]
    classes: int
    unreadable: int
    rates: ErrorRates

    @classmethod
    def of(cls, content: dict[str, Any]) -> "ClassResult":
        """Read everything that the tables need, so that missing fields are reported at the beginning."""
        nets, data, rates = content["nets"], content["data"], content["results"]
        return cls(
            models=tuple(net["model"] for net in nets),
            as_the_papers=tuple(map(PaperNet.described, nets)),
            notes=tuple(words for name, (value, words) in NOTES.items() if any(net[name] is value for net in nets)),
            data_set=(data["spec"], data["split"]),
            classes=data["classes"],
            unreadable=data["unreadable_images"],
            rates=ErrorRates(top1=rates["top1"], top5=rates["top5"], images=rates["images"]),
        )

    @property
    def paper(self) -> PaperResult | None:
        """The paper's figures for the same nets, S, Q and protocols."""
        return paper_result(self.as_the_papers)

    @property
    def is_ilsvrc(self) -> bool:
        """Whether the images may be the paper's."""
        return (self.classes, self.rates.images) == ILSVRC


def class_tables(found: Sequence[ClassResult]) -> Iterable[str]:
    """Markdown of one data set's results, with the tables for which there are results."""
    found = sorted(found, key=_order)
    for title, kind in (("3: one test scale", 3), ("4: several test scales", 4), ("6: several nets", 6)):
        rows = [_row(result) for result in found if _table_of(result) == kind]
        if rows:
            yield f"## Table {title}\n\n{markdown([_HEAD, *rows])}\n"
        if kind == 4 and any(_table_of(result) == 5 for result in found):
            yield f"## Table 5: protocols\n\n{_protocols(found)}\n"


def _order(result: ClassResult) -> Any:
    nets = [
        (_PLACES.get(net.configuration, len(_PLACES)), sum(net.train_scales), net.scales)
        for net in result.as_the_papers
    ]
    return len(nets), nets, result.models


def _table_of(result: ClassResult) -> int:
    """The number of the paper's table that a result belongs to."""
    if len(result.models) > 1:
        return 6
    (net,) = result.as_the_papers
    if net.protocol in WORDS and net.protocol != "dense":
        return 5
    return 3 if len(net.scales) == 1 else 4


def _row(result: ClassResult) -> list[str]:
    nets, rates, paper = result.as_the_papers, result.rates, result.paper
    return [
        *net_cells(nets, result.models),
        distinct(WORDS.get(net.protocol, net.protocol) for net in nets)
        + "".join(f" ({note})" for note in result.notes),
        *(percent(rate, wilson_interval(rate, rates.images)) for rate in (rates.top1, rates.top5)),
        f"{rates.images:,}" + (f", {result.unreadable} unreadable" if result.unreadable else ""),
        _figures(paper),
        f"{difference(rates.top1, paper.top1)} / {difference(rates.top5, paper.top5)}"
        if paper and result.is_ilsvrc
        else "–",
    ]


def _figures(paper: PaperResult | None) -> str:
    return f"{paper.top1:.1f} / {paper.top5:.1f}" if paper else "–"


def _protocols(results: Sequence[ClassResult]) -> str:
    """Table 5: a row for each net at its S and Q, a column for each protocol."""
    rows: dict[tuple[str, ...], dict[str, ClassResult]] = {}
    for result in results:
        if _table_of(result) in (4, 5):
            name, *scales = net_cells(result.as_the_papers, result.models)
            key = (name + "".join(f" ({note})" for note in result.notes), *scales)
            rows.setdefault(key, {})[result.as_the_papers[0].protocol] = result
    lines = [["net", "S", "Q", *(f"{name}: top-1 / top-5, paper" for name in WORDS.values())]]
    for key, found in rows.items():
        if set(found) != {"dense"}:
            lines.append([*key, *(_cell(found[protocol]) if protocol in found else "–" for protocol in WORDS)])
    return markdown(lines)


def _cell(result: ClassResult) -> str:
    return f"{100 * result.rates.top1:.1f} / {100 * result.rates.top5:.1f}, {_figures(result.paper)}"


def plot(results: Sequence[ClassResult], picture: Path) -> None:
    """Top-1 errors of single nets by depth, S and Q: ours are filled, with intervals; the paper's are open."""
    from matplotlib.figure import Figure  # optional, and slow to import

    figure = Figure(figsize=(14, 4.6), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    points = sorted((result for result in results if len(result.models) == 1), key=_order)
    for panel, (title, label) in zip(panels, _PANELS.items(), strict=True):
        _draw(panel, points, label)
        panel.set_xlabel(title)
    panels[0].set_ylabel("top-1 error (%)")
    for name in dict.fromkeys(result.as_the_papers[0].configuration for result in points):
        panels[0].plot([], [], "o", color=_colour(name), label=name)
    panels[0].plot([], [], "o", mfc="none", mec="0.3", ms=8, label="the paper")
    figure.legend(loc="outside upper center", ncols=8, frameon=False)
    write_picture(picture, figure)


def _draw(panel: Any, points: Sequence[ClassResult], label: Callable[[PaperNet], Any]) -> None:
    """A group for each label in order, with its results side by side."""
    groups: dict[Any, list[ClassResult]] = {}
    for result in points:
        groups.setdefault(label(result.as_the_papers[0]), []).append(result)
    names = sorted(groups)
    for place, name in enumerate(names):
        panel.axvspan(place - 0.5, place + 0.5, color="0.5", alpha=0.12 * (place % 2), lw=0)
        for turn, result in enumerate(groups[name]):
            where = place + 0.8 * ((turn + 0.5) / len(groups[name]) - 0.5)
            colour, rate = _colour(result.as_the_papers[0].configuration), 100 * result.rates.top1
            low, high = (100 * end for end in wilson_interval(result.rates.top1, result.rates.images))
            panel.errorbar(where, rate, yerr=[[rate - low], [high - rate]], fmt="o", ms=4, color=colour, capsize=2)
            if result.paper is not None:
                panel.plot(where, result.paper.top1, "o", mfc="none", mec=colour, ms=8)
    panel.set_xticks(range(len(names)), [text for _, text in names], fontsize="small")
    panel.set_xlim(-0.5, len(names) - 0.5)
    panel.grid(axis="y", alpha=0.3)


def _colour(configuration: str) -> str:
    return f"C{_PLACES[configuration]}" if configuration in _PLACES else "0.5"


_PANELS: dict[str, Callable[[PaperNet], tuple[Any, str]]] = {
    "depth (weight layers)": lambda net: (
        (TABLE_1[net.configuration].weight_layers, str(TABLE_1[net.configuration].weight_layers))
        if net.configuration in TABLE_1
        else (0, "?")
    ),
    "training scale S": lambda net: ((len(net.train_scales), net.train_scales), trained(net.train_scales)),
    "test scales Q": lambda net: ((len(net.scales), net.scales), "\n".join(map(str, net.scales))),
}
"""The groups of the panels: the sort key, and the text."""


def net_cells(nets: Sequence[PaperNet | PaperBoxNet], models: Sequence[str]) -> list[str]:
    """The columns of every table about its nets: names, S, and Q."""
    return [
        " + ".join(f"{net.configuration} `{model}`" for net, model in zip(nets, models, strict=True)),
        distinct(trained(net.train_scales) for net in nets),
        distinct(", ".join(map(str, net.scales)) for net in nets),
    ]


def percent(rate: float, interval: Sequence[float]) -> str:
    """A rate from 0 to 1 in percent, with its interval."""
    low, high = interval
    return f"{100 * rate:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def difference(ours: float, theirs: float) -> str:
    """The difference between a rate from 0 to 1 and the paper's, which is in percent."""
    return f"{round(100 * ours - theirs, 1) + 0.0:+.1f}"


def distinct(texts: Iterable[str]) -> str:
    """The texts of several nets; only one if all are the same."""
    found = list(texts)
    return found[0] if len(set(found)) == 1 else " + ".join(found)


def trained(scales: Sequence[int]) -> str:
    """S, or the range of S, of a net's training."""
    if not scales:
        return "?"
    return str(scales[0]) if len(scales) == 1 else f"[{scales[0]}; {scales[1]}]"
