"""Nets that predict boxes: errors with the true class given, and of classes and boxes (Appendix A)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from hub.results.figures import check_count, check_figures
from hub.results.kind import Kind, Measure, Row
from hub.results.provenance import origin, without_folder
from vgg_zoo.boxes.frame import boxes_of_map
from vgg_zoo.boxes.merging import CLOSE
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.dense import score_maps
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.layers import smallest_side
from vgg_zoo.model import VGG
from vgg_zoo.paper import PaperBoxNet, paper_box_result
from vgg_zoo.weights.settings import LOCALISE_FILE, read_localise

TRUE_CLASS, CLASSES_AND_BOXES = "true_class", "classes_and_boxes"
_NUMBERS = {1: TRUE_CLASS, 2: CLASSES_AND_BOXES}
_RATES = {
    TRUE_CLASS: ("box_error", "mean_overlap"),
    CLASSES_AND_BOXES: ("error", "top1_error", "class_error"),
}
_ORDERS = {
    TRUE_CLASS: (("box_error",), ("mean_overlap",)),
    CLASSES_AND_BOXES: (("top1_error", "error", "class_error"), ()),
}
"""Errors in descending order, which are fractions of the images; and other figures."""

_MEASURES = {
    "box_error": ("localisation_error", "box error"),
    "mean_overlap": ("mean_iou", "mean overlap"),
    "error": ("localisation_error", "error of class and box"),
    "top1_error": ("top_1_localisation_error", "error of the first guess"),
    "class_error": ("classification_error", "error of the class"),
}
_MOST_PIXELS = 2**20  # pixels that go through a net at once


class Boxes(Kind):
    """The kind of nets that predict boxes."""

    predicts: ClassVar[str] = "boxes"
    protocols: ClassVar[Mapping[str, str]] = {
        TRUE_CLASS: "true class given, centre crop",
        CLASSES_AND_BOXES: "classes and boxes, dense",
    }
    tested_by: ClassVar[str] = "recipes/localise.py --protocol 1 --net"
    settings_file: ClassVar[str] = LOCALISE_FILE
    read_settings = staticmethod(read_localise)
    answer: ClassVar[str] = "boxes"
    # The Hub has no task for one box of a given class. Without a tag, it would take every timm net for a classifier.
    # Users who look for boxes find the net among detectors, and the card's limits say what it is.
    task: ClassVar[str] = "object-detection"
    usage: ClassVar[str] = "usage_boxes.md.jinja"
    columns: ClassVar[tuple[str, ...]] = (
        "error",
        "first guess",
        "class alone",
        "mean overlap",
        "classes from",
        "the paper's error",
    )
    limits: ClassVar[tuple[str, ...]] = (
        "The net says where an object is, not what it is or whether there is one. Another net gives the classes, and "
        "each class of an image has one box. It cannot detect several objects of a class.",
        "The error with the true class given and that of classes and boxes are different measures, and the latter "
        "depends on the classifier: compare like with like (Appendix A of the paper).",
        "It was not tested for fairness or safety.",
    )

    def training_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The true class given, one centre crop."""
        settings = content["settings"]
        for result in content["results"].values():
            yield {
                "protocol": TRUE_CLASS,
                "scales": [result["scale"]],
                "close": None,
                "classifiers": [],
                "train_scales": sorted(set(settings["train_scales"])),
                "trainable": settings["trainable"],
                **_figures(TRUE_CLASS, result, content["data"].get("validation_images")),
                **origin(content, content["weights_sha256"], "validation", unusable_images=None),
            }

    def tested_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The one row of recipes/localise.py."""
        if len(content["nets"]) != 1:
            raise ValueError(f"the boxes of {len(content['nets'])} nets together; name the test of this one net")
        (net,), data = content["nets"], content["data"]
        protocol = _NUMBERS[content["protocol"]]
        yield {
            "protocol": protocol,
            "scales": sorted(net["scales"]),
            "close": content["close"],
            "classifiers": [{**each, "model": without_folder(each["model"])} for each in content["classifiers"]],
            "train_scales": net["train_scales"],
            "trainable": net["trainable"],
            **_figures(protocol, content["results"], data.get("images"), data["unusable_images"]),
            **origin(content, net["weights_sha256"], data["split"], unusable_images=data["unusable_images"]),
        }

    def about(self, net: VGG) -> Row:
        """The paper's name of the net, and whether it has a box for each class."""
        return {"configuration": net.configuration.name, "regression": cast(BoxVGG, net).regression}

    def told_apart(self, row: Row) -> tuple[Any, ...]:
        """The protocol, Q, and for classes and boxes also the classifiers and the merging."""
        classes = json.dumps([{**each, "model": None} for each in row["classifiers"]])
        return row["protocol"], str(row["scales"]), row["close"], classes

    def named(self, row: Row) -> str:
        """The protocol, Q, and an unusual merging of boxes."""
        scales = ", ".join(map(str, row["scales"]))
        unusual = f" (merged above {row['close']})" if row["close"] not in (None, CLOSE) else ""
        return f"{self.protocols[row['protocol']]}, Q = {scales}{unusual}"

    def rates(self, row: Row) -> dict[str, float]:
        """The protocol's own errors; the overlap is from 0 to 1 as well."""
        return {name: row[name] for name in _RATES[row["protocol"]]}

    def check(self, row: Row) -> None:
        """Check the errors: fractions of the images; with five guesses at most that of one, and at least the
        class's."""
        check_figures(row, *_ORDERS[row["protocol"]], unreadable=row.get("unusable_images"))

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The settings of the test with the most scales; in a tie, of a test of classes and boxes."""
        best = max(rows, key=lambda row: (len(row["scales"]), row["protocol"] == CLASSES_AND_BOXES))
        close = CLOSE if best["close"] is None else float(best["close"])
        return {"scales": best["scales"], "close": close, "ceil_mode": False}

    @torch.inference_mode()
    def answers(self, net: VGG, settings: Mapping[str, Any], photos: Sequence[Pixels]) -> Tensor:
        """(N, 4): the boxes of all positions at all scales of all photos, as fractions of their sides."""
        found = []
        for scaled in (rescale(photo, scale) for photo in photos for scale in settings["scales"]):
            height, width = scaled.shape[-2:]
            outputs = cast(BoxVGG, net).by_box(score_maps(net, scaled[None], settings["ceil_mode"], _MOST_PIXELS))
            found.append(boxes_of_map(outputs, height, width, smallest_side(net)).flatten(0, -2))
        return torch.cat(found)

    def measures(self, row: Row) -> Iterable[Measure]:
        """The row's errors, and the overlap."""
        classes = ", ".join(each["model"] for each in row["classifiers"])
        by = f", classes by {classes}" if classes else ""
        for name, rate in self.rates(row).items():
            kind, words = _MEASURES[name]
            yield Measure(kind, f"{words}, {self.named(row)}{by}", 100 * rate)

    def cells(self, row: Row, full: bool) -> tuple[str, ...]:
        """Errors and overlap in percent; the paper's error is that of five guesses, or of the given class."""
        number = 1 if row["protocol"] == TRUE_CLASS else 2
        paper = paper_box_result([PaperBoxNet.described(row)], number) if full else None
        rates = {"error": row.get("box_error"), **self.rates(row)}
        columns = ("error", "top1_error", "class_error", "mean_overlap")
        return (
            *(f"{100 * rate:.2f}" if (rate := rates.get(name)) is not None else "–" for name in columns),
            ", ".join(each["model"] for each in row["classifiers"]) or "–",
            f"{paper.error}" if paper else "–",
        )

    def last_layer(self, net: VGG) -> str:
        """How many boxes."""
        pcr = cast(BoxVGG, net).regression == "pcr"
        return "a box for each class (PCR)" if pcr else "one box, whatever the class (SCR)"

    def for_usage(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The classifier of a test."""
        tested = [each["model"] for row in rows for each in row["classifiers"]]
        return {"classifier": json.dumps(tested[-1] if tested else "path/to/classifier")}


def _figures(protocol: str, result: Mapping[str, Any], images: Any, unusable: int | None = None) -> Row:
    check_figures(result, *_ORDERS[protocol], unreadable=unusable)
    check_count(result["images"], images)
    return {name: result[name] for name in (*_RATES[protocol], "images")}
