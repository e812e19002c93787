"""Classifiers: errors of the likeliest class and the five likeliest classes (Sect. 4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from hub.results.figures import check_count, check_figures
from hub.results.kind import Kind, Measure, Row
from hub.results.provenance import origin
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.model import VGG
from vgg_zoo.paper import PaperNet, paper_result
from vgg_zoo.weights.settings import SETTINGS_FILE, read_settings

SINGLE_CROP = "single_crop"
TOP = 5
"""Guesses of the second error; with this many classes or fewer, it is meaningless."""

_SETTINGS = ("scales", "flip", "protocol", "softmax_first", "ceil_mode")


class Classes(Kind):
    """The kind of nets that classify."""

    predicts: ClassVar[str] = "classes"
    protocols: ClassVar[Mapping[str, str]] = {
        SINGLE_CROP: "single crop",
        "dense": "dense",
        "multi_crop": "multi-crop",
        "multi_crop_and_dense": "multi-crop & dense",
    }
    tested_by: ClassVar[str] = "recipes/evaluate.py --model"
    settings_file: ClassVar[str] = SETTINGS_FILE
    read_settings = staticmethod(read_settings)
    answer: ClassVar[str] = "posteriors"
    task: ClassVar[str] = "image-classification"
    usage: ClassVar[str] = "usage_classes.md.jinja"
    columns: ClassVar[tuple[str, ...]] = ("top-1 error", "top-5 error", "the paper's top-1 / top-5")
    limits: ClassVar[tuple[str, ...]] = (
        "A single crop and the dense evaluation are different measures: compare like with like (Sect. 3.2 of the "
        "paper).",
        "The net cannot tell that an image shows none of its classes. It was not tested for fairness or safety.",
    )

    def training_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """One centre crop, and dense at one scale."""
        for result in content["results"].values():
            yield {
                "protocol": SINGLE_CROP if result["crop_size"] else "dense",
                "scales": [result["scale"]],
                "flip": result["flip"],
                "softmax_first": False,
                "ceil_mode": False,
                "train_scales": sorted(set(content["settings"]["train_scales"])),
                **_errors(result, content["data"].get("validation_images")),
                **origin(content, content["weights_sha256"], "validation"),
            }

    def tested_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The one row of recipes/evaluate.py."""
        if len(content["nets"]) != 1:
            raise ValueError(f"a fusion of {len(content['nets'])} nets; name the evaluation of this one net")
        if content["results"] is None:
            raise ValueError("of images without labels: there are no errors to publish")
        (net,), data = content["nets"], content["data"]
        yield {
            **{name: net[name] for name in ("protocol", "scales", "flip", "softmax_first", "ceil_mode")},
            "train_scales": net["train_scales"],
            **_errors(content["results"], data.get("images"), data["unreadable_images"]),
            **origin(content, net["weights_sha256"], data["split"], unreadable_images=data["unreadable_images"]),
        }

    def about(self, net: VGG) -> Row:
        """The paper's name of the net."""
        return {"configuration": net.configuration.name}

    def told_apart(self, row: Row) -> tuple[Any, ...]:
        """The evaluator's settings."""
        return tuple(str(row[name]) for name in _SETTINGS)

    def named(self, row: Row) -> str:
        """The protocol, Q, and what is unusual."""
        scales = ", ".join(map(str, row["scales"]))
        notes = [
            note
            for note, unusual in (
                ("no flips", row["flip"] is False and row["protocol"] != SINGLE_CROP),
                ("soft-max before the mean over positions", row["softmax_first"]),
                ("Caffe's pooling", row["ceil_mode"]),
            )
            if unusual
        ]
        return f"{self.protocols[row['protocol']]}, Q = {scales}" + (f" ({', '.join(notes)})" if notes else "")

    def rates(self, row: Row) -> dict[str, float]:
        """The errors with one guess and with five."""
        return {name: row[name] for name in ("top1_error", "top5_error")}

    def check(self, row: Row) -> None:
        """Check that both are fractions of the images, and that the error with five guesses is not the greater one."""
        check_figures(row, ("top1_error", "top5_error"), unreadable=row.get("unreadable_images"))

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The settings of the dense test with the most scales."""
        dense = [row for row in rows if row["protocol"] == "dense"]
        if not dense:
            raise ValueError(
                "none of the results is dense, and the dense wrapper takes its settings from one; add the --output of "
                "recipes/evaluate.py --protocol dense"
            )
        best = max(dense, key=lambda row: len(row["scales"]))
        return {name: best[name] for name in _SETTINGS}

    def answers(self, net: VGG, settings: Mapping[str, Any], photos: Sequence[Pixels]) -> Tensor:
        """(N, classes) posteriors of the dense wrapper."""
        return DenseEvaluator(net, **settings)(photos)

    def measures(self, row: Row) -> Iterable[Measure]:
        """Accuracies, as used by the Hub."""
        yield Measure("accuracy", f"top-1 accuracy, {self.named(row)}", 100 * (1 - row["top1_error"]))
        if row["classes"] > TOP:
            yield Measure("top_5_accuracy", f"top-5 accuracy, {self.named(row)}", 100 * (1 - row["top5_error"]))

    def cells(self, row: Row, full: bool) -> tuple[str, ...]:
        """Errors in percent."""
        paper = paper_result([PaperNet.described(row)]) if full else None
        return (
            f"{100 * row['top1_error']:.2f}",
            f"{100 * row['top5_error']:.2f}" if row["classes"] > TOP else "–",
            f"{paper.top1} / {paper.top5}" if paper else "–",
        )


def _errors(result: Mapping[str, Any], images: Any, unreadable: int | None = None) -> Row:
    check_figures(result, ("top1", "top5"), unreadable=unreadable)
    check_count(result["images"], images)
    return {"top1_error": result["top1"], "top5_error": result["top5"], "images": result["images"]}
