"""The output of a linear SVM's test: results.json, summary.md, a picture, and VOC's result files (Appendix B)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recipes.features import plots
from recipes.features.descriptors import BOX, IMAGE, Descriptors
from recipes.features.protocols import Request, SvmProtocol
from recipes.features.samples import Samples
from recipes.features.split import SplitResult
from recipes.runtime.files import markdown, write_csv, write_picture, write_text
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.paper import PaperFeatures, paper_features, paper_figure

_LOSSES = {"liblinear": "squared hinge", "sgd": "hinge"}
_MOST_CLASSES = 24
"""Maximum number of classes that the summary lists; of more classes, it lists only the worst."""

SUMMARY = "summary.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class SvmReport:
    """Everything that is reported of a test.

    Attributes:
        name: Name of the protocol.
        protocol: The protocol.
        request: The request for its data.
        samples: The data.
        nets: The description of each net and its descriptors, as plain data.
        solver: "liblinear" or "sgd".
        descriptors: Descriptors of the samples.
        splits: The results.
    """

    name: str
    protocol: SvmProtocol
    request: Request
    samples: Samples
    nets: Sequence[dict[str, Any]]
    solver: str
    descriptors: Descriptors
    splits: Sequence[SplitResult]

    @property
    def title(self) -> str:
        """The data set's name."""
        return self.request.source.spec if self.name == "folder" else self.protocol.title

    @property
    def figures(self) -> list[float]:
        """The figure of each split, in 0–1; none if the test samples have no labels."""
        return [split.figure for split in self.splits if split.figure is not None]

    @property
    def with_box(self) -> bool:
        """Whether the box's descriptor is stacked on the image's."""
        return self.samples.box is not None

    @property
    def departures(self) -> list[str]:
        """Why the paper's figures cannot be compared."""
        return self.protocol.departures(self.samples, self.request, self.nets) if self.name != "folder" else []

    def results(self) -> dict[str, Any] | None:
        """The figures, in 0–1; None if the test samples have no labels."""
        if not self.figures:
            return None
        with np.errstate(invalid="ignore"):
            per_class = np.mean([split.per_class for split in self.splits], axis=0)
        named = zip(self.samples.class_names, per_class.tolist(), strict=True)
        found: dict[str, Any] = {
            "figure": float(np.mean(self.figures)),
            "deviation": float(np.std(self.figures, ddof=1)) if len(self.figures) > 1 else None,
            "per_class": {name: None if np.isnan(figure) else figure for name, figure in named},
        }
        if not self.protocol.uses_average_precision:
            found["accuracy"] = float(np.mean([split.accuracy for split in self.splits]))
        return found

    def content(self) -> dict[str, Any]:
        """The content of results.json."""
        bad = Counter(problem.split for problem in self.descriptors.problems)
        return {
            "protocol": self.name,
            "measure": self.protocol.measure,
            "nets": list(self.nets),
            "descriptor": {"boxes": self.with_box, "dimension": self.descriptors.rows.shape[1]},
            "data": {
                "spec": self.request.source.spec,
                "test_set": self.request.test_set if self.protocol.uses_average_precision else None,
                "classes": len(self.samples.class_names),
                "samples": len(self.samples),
                "unreadable_images": bad[IMAGE],
                "bad_boxes": bad[BOX],
                "seed": self.request.seed,
            },
            "svm": {"solver": self.solver, "loss": _LOSSES[self.solver], "scikit-learn": version("scikit-learn")},
            "splits": [split.about() for split in self.splits],
            "results": self.results(),
            "paper": [asdict(row) for row in paper_features(self.name, self.with_box)],
            "not_the_papers": self.departures,
        }

    def summary(self) -> str:
        """The summary as Markdown."""
        measure = f"mean class recall, {len(self.splits)} split(s), %"
        if self.protocol.uses_average_precision:
            measure = f"mean AP ({self.protocol.measure}), %"
        return "\n\n".join([f"# {self.title}: {measure}", self._table(), *self._classes(), self._remarks()]) + "\n"

    def _table(self) -> str:
        nets = " & ".join(f"{net['configuration'] or '?'} `{net['model']}`" for net in self.nets)
        paper = paper_figure(self.name, [net["configuration"] for net in self.nets], self.with_box)
        results, ours, difference = self.results(), "no labels", "–"
        if results is not None:
            ours = _percent(results["figure"], results["deviation"])
            if paper is not None and not self.departures:
                difference = f"{round(100 * results['figure'] - paper.figure, 1) + 0.0:+.1f}"
        lines = [["descriptors stacked of", "ours", "paper", "difference"]]
        lines.append([nets, ours, _paper(paper), difference])
        others = [row for row in paper_features(self.name, self.with_box) if row != paper]
        lines += [[" & ".join(row.configurations), "–", _paper(row), "–"] for row in others]
        return markdown(lines)

    def _classes(self) -> list[str]:
        results = self.results()
        if results is None:
            return []
        told = [(name, figure) for name, figure in results["per_class"].items() if figure is not None]
        measure, title = ("AP" if self.protocol.uses_average_precision else "recall"), "class"
        if len(told) > _MOST_CLASSES:
            told, title = sorted(told, key=lambda row: row[1])[:10], "the ten worst classes"
        rows = [[name, f"{100 * figure:.1f}"] for name, figure in told]
        untold = [name for name, figure in results["per_class"].items() if figure is None]
        note = [f"No test image has {', '.join(untold)}: not in the mean."] if untold else []
        return [markdown([[title, f"{measure} (%)"], *rows]), *note]

    def _remarks(self) -> str:
        bad = Counter(problem.split for problem in self.descriptors.problems)
        where = "image and box" if self.with_box else "whole image"
        lines = [
            f"Descriptors: {'; '.join(dict.fromkeys(map(_described, self.nets)))}; {where}; "
            f"{self.descriptors.rows.shape[1]:,}-D.",
            f"SVM: {self.solver} ({_LOSSES[self.solver]} loss), one against the rest.",
            *(f"Split {number}: {self._split(split)}" for number, split in enumerate(self.splits, 1)),
        ]
        if (results := self.results()) and "accuracy" in results:
            lines.append(f"Accuracy: {100 * results['accuracy']:.1f}% of the test images.")
        if bad:
            lines.append(
                f"{bad[IMAGE]} image(s) cannot be decoded and {bad[BOX]} box(es) are none: left "
                "out of training, an error in the test; bad_images.csv names them."
            )
        if self.departures:
            lines.append(f"The paper's figures are no comparison: {'; '.join(self.departures)}.")
        return "\n".join(f"- {line}" for line in lines)

    def _split(self, split: SplitResult) -> str:
        about = split.about()
        text = f"C = {split.choice.c:g}, trained on {about['trained_on']}, tested on {about['test']}."
        if split.choice.at_the_border:
            text += " The best C is the smallest or largest candidate; give others with --C."
        if about["not_converged"]:
            text += f" {about['not_converged']} fit(s) did not converge."
        return text

    def _draw(self, folder: Path) -> None:
        """Write per_class_ap.png if images may have several classes (no confusion is defined), else confusion.png."""
        if self.protocol.uses_average_precision:
            results: Any = self.results()
            figures = results["per_class"], results["figure"]
            write_picture(folder / "per_class_ap.png", partial(plots.bars, *figures, self.protocol.measure, self.title))
        else:
            matrix = np.sum([split.matrix for split in self.splits], axis=0)
            names = self.samples.class_names
            write_picture(folder / "confusion.png", partial(plots.confusion, matrix, names, self.title))

    def write(self, folder: OutputFolder) -> bool:
        """All files, results.json last as the sign of the rest; whether it says anything new."""
        folder.problems.unlink(missing_ok=True)
        if bad := self.descriptors.problems:
            write_csv(folder.problems, ["what", "index", "name", "reason"], [astuple(problem) for problem in bad])
        if self.figures:
            self._draw(folder.path)
        elif self.protocol.results:
            print("the test images have no labels: their scores are for VOC's evaluation server")
            file = folder.path / self.protocol.results
            write_server_files(file, self.samples, self.splits[0], self.request.test_set)
        write_text(folder.path / SUMMARY, self.summary())
        return folder.write_results("svm", self.content())


def write_server_files(file: Path, samples: Samples, split: SplitResult, test_set: str) -> None:
    """Write a file for each class in the form of VOC's evaluation server, with a sample and its score on each line.

    A sample without a descriptor gets less than the lowest score, because the server requires a line for each sample.

    Args:
        file: File name with {set} and {name}.
        samples: Samples, whose names begin the lines.
        split: Scores of the test samples.
        test_set: "test".
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for name, scores in zip(samples.class_names, split.scores.T, strict=True):
        scores = np.where(np.isnan(scores), np.nanmin(scores) - 1, scores)
        lines = zip(split.split.test, scores, strict=True)
        text = "".join(f"{samples.names[number]} {score:.6f}\n" for number, score in lines)
        write_text(Path(str(file).format(set=test_set, name=name)), text)


def _described(net: dict[str, Any]) -> str:
    combined = {"average": "averaged", "stack": "stacked"}[net["combine"]]
    return f"{net['layer']}, Q = {', '.join(map(str, net['scales']))} {combined}"


def _percent(figure: float, deviation: float | None) -> str:
    return f"{100 * figure:.1f}" + (f" ± {100 * deviation:.1f}" if deviation is not None else "")


def _paper(row: PaperFeatures | None) -> str:
    if row is None:
        return "–"
    return f"{row.figure:.1f}" + (f" ± {row.deviation:.1f}" if row.deviation is not None else "")
