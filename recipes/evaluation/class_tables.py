"""Tables 3 to 6 from results of recipes/evaluate.py and fuse.py, with the paper's own figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.evaluation.error_rates import ErrorRates, wilson_interval
from recipes.evaluation.plots import Block, Line, Point
from recipes.runtime.files import markdown
from vgg_zoo.configurations import TABLE_1
from vgg_zoo.paper import ILSVRC, PaperBoxNet, PaperNet, PaperResult, paper_result

WORDS = {"dense": "dense", "multi_crop": "multi-crop", "multi_crop_and_dense": "multi-crop & dense"}
NOTES = {
    "softmax_first": (True, "soft-max before the mean over positions"),
    "ceil_mode": (True, "Caffe's pooling"),
    "flip": (False, "no flips"),
}
"""Unusual settings and the notes about them."""

_TABLES = {3: "one test scale", 4: "several test scales", 5: "protocols", 6: "several nets"}
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
    for kind in (3, 4, 6):
        rows = [_row(result) for result in found if _table_of(result) == kind]
        if rows:
            yield f"## Table {kind}: {_TABLES[kind]}\n\n{markdown([_HEAD, *rows])}\n"
        if kind == 4 and any(_table_of(result) == 5 for result in found):
            yield f"## Table 5: {_TABLES[5]}\n\n{_protocols(found)}\n"


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
        _protocol(result),
        *(percent(rate, wilson_interval(rate, rates.images)) for rate in (rates.top1, rates.top5)),
        f"{rates.images:,}" + (f", {result.unreadable} unreadable" if result.unreadable else ""),
        _figures(paper),
        f"{difference(rates.top1, paper.top1)} / {difference(rates.top5, paper.top5)}"
        if paper and result.is_ilsvrc
        else "–",
    ]


def _protocol(result: ClassResult) -> str:
    words = distinct(WORDS.get(net.protocol, net.protocol) for net in result.as_the_papers)
    return words + "".join(f" ({note})" for note in result.notes)


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


def block(found: Sequence[ClassResult]) -> Block:
    """One data set's results for the picture, in the order of the tables."""
    spec, split = found[0].data_set
    images = " and ".join(f"{count:,}" for count in sorted({result.rates.images for result in found}))
    tables: dict[str, list[Line]] = {}
    for result in sorted(found, key=lambda result: (_table_of(result), _order(result))):
        tables.setdefault(_TABLES[_table_of(result)], []).append(_line(result))
    return Block(title=f"{spec}, {split}: errors on {images} images", tables=tables)


def _line(result: ClassResult) -> Line:
    nets, rates, paper = result.as_the_papers, result.rates, result.paper if result.is_ilsvrc else None
    folders = [f"{net.configuration} {Path(model).name}" for net, model in zip(nets, result.models, strict=True)]
    _, *scales = net_cells(nets, result.models)
    errors = ((rates.top1, paper.top1 if paper else None), (rates.top5, paper.top5 if paper else None))
    return Line(
        cells=[" + ".join(folders), *scales, _protocol(result)],
        points=[
            Point(ours=100 * rate, interval=_interval(rate, rates.images), paper=theirs) for rate, theirs in errors
        ],
    )


def _interval(rate: float, images: int) -> tuple[float, float]:
    low, high = wilson_interval(rate, images)
    return 100 * low, 100 * high


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
