"""Tables 8 and 9 (Appendix A) from results of recipes/localise.py, with the paper's own figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recipes.evaluation.class_tables import difference, distinct, net_cells, percent
from recipes.runtime.files import markdown
from vgg_zoo.paper import ILSVRC, PaperBoxNet, paper_box_result

_TITLES = {1: "8: true class given, one centre crop", 2: "9: classes and boxes, dense"}
_ERRORS = {1: "box_error", 2: "error"}
_LAYERS = {"fc": "1st and 2nd FC"}


@dataclass(frozen=True, slots=True)
class BoxResult:
    """The content of one results.json of recipes/localise.py."""

    models: tuple[str, ...]
    as_the_papers: tuple[PaperBoxNet, ...]
    classifiers: tuple[str, ...]
    protocol: int
    data_set: tuple[str, str]
    classes: int
    unusable: int
    images: int
    error: float
    interval: tuple[float, float]
    class_error: float | None

    @classmethod
    def of(cls, content: dict[str, Any]) -> "BoxResult":
        """Read everything that the tables need, so that missing fields are reported at the beginning."""
        data, results, protocol = content["data"], content["results"], content["protocol"]
        name = _ERRORS[protocol]
        low, high = results[f"{name}_interval"]
        return cls(
            models=tuple(net["model"] for net in content["nets"]),
            as_the_papers=tuple(map(PaperBoxNet.described, content["nets"])),
            classifiers=tuple(net["model"] for net in content["classifiers"]),
            protocol=protocol,
            data_set=(data["spec"], data["split"]),
            classes=data["classes"],
            unusable=data["unusable_images"],
            images=results["images"],
            error=results[name],
            interval=(low, high),
            class_error=results.get("class_error"),
        )

    @property
    def is_ilsvrc(self) -> bool:
        """Whether the images may be the paper's."""
        return (self.classes, self.images) == ILSVRC


def box_tables(results: Sequence[BoxResult]) -> Iterable[str]:
    """Markdown of one data set's results, with the tables for which there are results."""
    for protocol, title in _TITLES.items():
        rows = sorted((result for result in results if result.protocol == protocol), key=_order)
        if rows:
            last = ["class error", "classifiers"] if protocol == 2 else []
            head = ["net", "fine-tuned layers", "regression", "S", "Q", "error", *last, "images", "paper", "difference"]
            yield f"## Table {title}\n\n{markdown([head, *map(_row, rows)])}\n"


def _order(result: BoxResult) -> Any:
    nets = [
        (net.regression == "pcr", net.trainable == "all", net.train_scales, net.scales) for net in result.as_the_papers
    ]
    return len(nets), nets, result.models


def _row(result: BoxResult) -> list[str]:
    nets, paper = result.as_the_papers, paper_box_result(result.as_the_papers, result.protocol)
    names, *scales = net_cells(nets, result.models)
    classes = [f"{100 * (result.class_error or 0):.1f}", ", ".join(f"`{model}`" for model in result.classifiers)]
    return [
        names,
        distinct(_LAYERS.get(net.trainable, net.trainable) for net in nets),
        distinct(net.regression.upper() for net in nets),
        *scales,
        percent(result.error, result.interval),
        *(classes if result.protocol == 2 else []),
        f"{result.images:,}" + (f", {result.unusable} unusable" if result.unusable else ""),
        f"{paper.error:.1f}" if paper else "–",
        difference(result.error, paper.error) if paper and result.is_ilsvrc else "–",
    ]
