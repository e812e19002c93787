"""Tables 3–6, 8 and 9 from results of recipes/evaluate.py, fuse.py and localise.py, beside the paper's own figures.

    python recipes/tables.py runs/test_* --output runs/tables

Prints Markdown; with --output also writes tables.md and tables.png, the classification errors against depth, S and Q.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes.box_tables import BoxResult, box_tables, is_of_boxes, read_boxes
from recipes.error_rates import ErrorRates
from recipes.markdown import distinct, markdown, trained
from recipes.mistakes import mistakes_in_one_line
from recipes.report import write_text
from recipes.run_folder import RunFolder
from recipes.score_report import read_results
from vgg_zoo.configurations import TABLE_1
from vgg_zoo.paper_tables import ILSVRC, PaperNet, PaperResult, paper_result

PROTOCOLS = {"dense": "dense", "multi_crop": "multi-crop", "multi_crop_and_dense": "multi-crop & dense"}
NOTES = {"softmax_first": "soft-max before the mean over places", "ceil_mode": "Caffe's pooling", "flip": "no flips"}


@dataclass(frozen=True, slots=True)
class Result:
    """What one results.json says of labelled images."""

    models: tuple[str, ...]
    as_the_papers: tuple[PaperNet, ...]
    notes: tuple[str, ...]
    data_set: tuple[str, str]
    classes: int
    unreadable: int
    rates: ErrorRates

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Result":
        """Everything that the tables need, so that what is missing is told before they begin."""
        nets, data, rates = content["nets"], content["data"], content["results"]
        unusual = {"softmax_first": True, "ceil_mode": True, "flip": False}
        return cls(
            models=tuple(net["model"] for net in nets),
            as_the_papers=tuple(map(PaperNet.described, nets)),
            notes=tuple(NOTES[name] for name, value in unusual.items() if any(net[name] is value for net in nets)),
            data_set=(data["spec"], data["split"]),
            classes=data["classes"],
            unreadable=data["unreadable_images"],
            rates=ErrorRates(top1=rates["top1"], top5=rates["top5"], images=rates["images"]),
        )

    @property
    def paper(self) -> PaperResult | None:
        """The paper's figures of the same nets, S, Q and protocols."""
        return paper_result(self.as_the_papers)

    @property
    def is_ilsvrc(self) -> bool:
        """The images may be the paper's."""
        return (self.classes, self.rates.images) == ILSVRC


def read(folder: Path) -> Result | BoxResult | None:
    """The result in a folder; None for unlabelled images.

    Raises:
        ValueError: There is none, or something else.
    """
    content = read_results(RunFolder(folder), keys=())
    if is_of_boxes(content):
        return read_boxes(folder / "results.json", content)
    content = read_results(RunFolder(folder))
    try:
        return Result.of(content) if content["results"] is not None else None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'results.json'} is not what recipes/evaluate.py writes ({error!r})") from error


def tables(results: Iterable[Result | BoxResult]) -> str:
    """Markdown: for each data set the tables that there are results for."""
    of_data: dict[tuple[str, str], list[Result | BoxResult]] = {}
    for result in results:
        of_data.setdefault(result.data_set, []).append(result)
    parts = []
    for (spec, split), found in of_data.items():
        parts.append(f"# {spec}, {split}\n")
        parts += _of_classes([result for result in found if isinstance(result, Result)])
        boxes = box_tables([result for result in found if isinstance(result, BoxResult)])
        parts += [boxes] if boxes else []
        if not all(result.is_ilsvrc for result in found):
            parts.append(
                "These are not ILSVRC-2012's 50,000 validation images: the paper's figures are no comparison, and no "
                "differences are shown.\n"
            )
    return "\n".join(parts)


def _of_classes(found: Sequence[Result]) -> Iterable[str]:
    """Tables 3 to 6."""
    found = sorted(found, key=_order)
    for title, kind in (("3: one test scale", 3), ("4: several test scales", 4), ("6: several nets", 6)):
        rows = [result for result in found if kind in _tables_of(result)]
        if rows:
            yield f"## Table {title}\n\n{_table(rows)}\n"
        if kind == 4 and any(5 in _tables_of(result) for result in found):
            yield f"## Table 5: protocols\n\n{_protocols(found)}\n"


def _order(result: Result) -> Any:
    names = list(TABLE_1)
    nets = [
        (
            names.index(net.configuration) if net.configuration in names else len(names),
            sum(net.train_scales),
            net.scales,
        )
        for net in result.as_the_papers
    ]
    return len(nets), nets, result.models


def _tables_of(result: Result) -> set[int]:
    """The numbers of the paper's tables that a result belongs to."""
    if len(result.models) > 1:
        return {6}
    (net,) = result.as_the_papers
    if net.protocol != "dense":
        return {5}
    return {3} if len(net.scales) == 1 else {4}


def _table(results: Sequence[Result]) -> str:
    lines = [
        ["net", "S", "Q", "protocol", "top-1 error", "top-5 error", "images", "paper", "difference"],
        *(_row(result) for result in results),
    ]
    return markdown(lines)


def _row(result: Result) -> list[str]:
    nets = result.as_the_papers
    return [
        " + ".join(_named(net, model) for net, model in zip(nets, result.models, strict=True)),
        distinct(trained(net.train_scales) for net in nets),
        distinct(", ".join(map(str, net.scales)) for net in nets),
        distinct(PROTOCOLS[net.protocol] for net in nets) + "".join(f" ({note})" for note in result.notes),
        *(_rate(result, name) for name in ("top1", "top5")),
        f"{result.rates.images:,}" + _unreadable(result),
        _figures(result.paper),
        _difference(result),
    ]


def _named(net: PaperNet, model: str) -> str:
    return f"{net.configuration} `{model}`"


def _rate(result: Result, name: str) -> str:
    low, high = result.rates.intervals()[name]
    return f"{100 * getattr(result.rates, name):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _unreadable(result: Result) -> str:
    return f", {result.unreadable} unreadable" if result.unreadable else ""


def _figures(paper: PaperResult | None) -> str:
    return f"{paper.top1:.1f} / {paper.top5:.1f}" if paper else "–"


def _difference(result: Result) -> str:
    if result.paper is None or not result.is_ilsvrc:
        return "–"
    parts = ((result.rates.top1, result.paper.top1), (result.rates.top5, result.paper.top5))
    return " / ".join(f"{round(100 * ours - theirs, 1) + 0.0:+.1f}" for ours, theirs in parts)


def _protocols(results: Sequence[Result]) -> str:
    """Table 5: a row for each net at its S and Q, a column for each protocol."""
    rows: dict[Any, dict[str, Result]] = {}
    for result in results:
        if _tables_of(result) & {4, 5}:
            net = result.as_the_papers[0]
            key = (_named(net, result.models[0]), net.train_scales, net.scales, result.notes)
            rows.setdefault(key, {})[net.protocol] = result
    lines = [["net", "S", "Q", *(f"{name}: top-1 / top-5, paper" for name in PROTOCOLS.values())]]
    for (name, train_scales, scales, notes), found in rows.items():
        if set(found) == {"dense"}:
            continue
        cells = [_cell(found[protocol]) if protocol in found else "–" for protocol in PROTOCOLS]
        marked = name + "".join(f" ({note})" for note in notes)
        lines.append([marked, trained(train_scales), ", ".join(map(str, scales)), *cells])
    return markdown(lines)


def _cell(result: Result) -> str:
    return f"{100 * result.rates.top1:.1f} / {100 * result.rates.top5:.1f}, {_figures(result.paper)}"


def plot(results: Sequence[Result], picture: Path) -> None:
    """Top-1 errors of single nets by depth, S and Q: ours filled, with their intervals; the paper's open."""
    from matplotlib.figure import Figure  # an extra, and slow to import

    figure = Figure(figsize=(14, 4.6), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    points = sorted((result for result in results if len(result.models) == 1), key=_order)
    for panel, title, label in zip(
        panels, ("depth (weight layers)", "training scale S", "test scales Q"), _LABELS, strict=True
    ):
        _draw(panel, points, label)
        panel.set_xlabel(title)
    panels[0].set_ylabel("top-1 error (%)")
    for name in dict.fromkeys(result.as_the_papers[0].configuration for result in points):
        panels[0].plot([], [], "o", color=_colour(name), label=name)
    panels[0].plot([], [], "o", mfc="none", mec="0.3", ms=8, label="the paper")
    figure.legend(loc="outside upper center", ncols=8, frameon=False)
    figure.savefig(picture, dpi=120)


def _draw(panel: Any, points: Sequence[Result], label: Callable[[PaperNet], Any]) -> None:
    """A group for each label in order; in it the results side by side."""
    groups: dict[Any, list[Result]] = {}
    for result in points:
        groups.setdefault(label(result.as_the_papers[0]), []).append(result)
    names = sorted(groups)
    for place, name in enumerate(names):
        panel.axvspan(place - 0.5, place + 0.5, color="0.5", alpha=0.12 * (place % 2), lw=0)
        for turn, result in enumerate(groups[name]):
            where = place + 0.8 * ((turn + 0.5) / len(groups[name]) - 0.5)
            colour, rate = _colour(result.as_the_papers[0].configuration), 100 * result.rates.top1
            low, high = (100 * end for end in result.rates.intervals()["top1"])
            panel.errorbar(where, rate, yerr=[[rate - low], [high - rate]], fmt="o", ms=4, color=colour, capsize=2)
            if result.paper is not None:
                panel.plot(where, result.paper.top1, "o", mfc="none", mec=colour, ms=8)
    panel.set_xticks(range(len(names)), [text for _, text in names], fontsize="small")
    panel.set_xlim(-0.5, len(names) - 0.5)
    panel.grid(axis="y", alpha=0.3)


def _colour(configuration: str) -> str:
    names = list(TABLE_1)
    return f"C{names.index(configuration)}" if configuration in names else "0.5"


_LABELS: tuple[Callable[[PaperNet], tuple[Any, str]], ...] = (
    lambda net: (
        (TABLE_1[net.configuration].weight_layers, str(TABLE_1[net.configuration].weight_layers))
        if net.configuration in TABLE_1
        else (0, "?")
    ),
    lambda net: ((len(net.train_scales), net.train_scales), trained(net.train_scales)),
    lambda net: ((len(net.scales), net.scales), "\n".join(map(str, net.scales))),
)
"""What the panels group by: what to sort by, and the text."""


def main() -> None:
    """Read, print, write; a mistake of the user ends in one line, not in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="outputs of recipes/evaluate.py, fuse.py or localise.py"
    )
    parser.add_argument("--output", type=Path, help="folder for tables.md and tables.png")
    args = parser.parse_args()
    with mistakes_in_one_line():
        found = {folder: read(folder) for folder in args.folders}
        results = [result for result in found.values() if result is not None]
        for folder in (folder for folder, result in found.items() if result is None):
            print(f"{folder} is of images without labels, and left out", file=sys.stderr)
        if not results:
            raise ValueError("none of the folders has errors to show")
        text = tables(results)
        print(text)
        if args.output is not None:
            args.output.mkdir(parents=True, exist_ok=True)
            write_text(args.output / "tables.md", text)
            plot([result for result in results if isinstance(result, Result)], args.output / "tables.png")


if __name__ == "__main__":
    main()
