"""A linear SVM on a split: C is chosen on a fifth of the training images, then it is trained on all (Appendix B)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recipes.features.measures import confusion, figure, likeliest, per_class
from recipes.features.samples import Numbers, Samples, Split
from recipes.features.svm import Choice, LinearSVM, choose_c, fit, trainable


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The results of an SVM on the test samples of a split.

    Attributes:
        split: The samples.
        used: Training samples that have a descriptor.
        choice: The choice of C.
        svm: The SVM, trained on all used samples.
        scores: (N, K), scores of the test samples; NaN without a descriptor.
        labels: (N, K), labels of the test samples.
        figure: The figure in 0–1; None if the test samples have no labels.
        per_class: AP or recall of each class in 0–1.
    """

    split: Split
    used: int
    choice: Choice
    svm: LinearSVM
    scores: Numbers
    labels: Numbers
    figure: float | None
    per_class: list[float]

    @property
    def matrix(self) -> Numbers:
        """The confusion matrix (K, K + 1) of samples with one class each."""
        return confusion(likeliest(self.scores), self.labels.argmax(1), self.labels.shape[1])

    @property
    def accuracy(self) -> float:
        """The fraction of test samples whose class is predicted correctly, if each has one class."""
        return float(self.matrix.diagonal().sum() / self.matrix.sum())

    def about(self) -> dict[str, Any]:
        """The results as plain data."""
        return {
            "training": len(self.split.training),
            "trained_on": self.used,
            "test": len(self.split.test),
            "C": self.choice.c,
            "held_out_for_C": self.choice.held_out,
            "figures_of_C": {f"{c:g}": figure for c, figure in self.choice.figures.items()},
            "iterations": self.svm.iterations,
            "not_converged": self.svm.not_converged + self.choice.not_converged,
            "figure": self.figure,
        }


def run_split(
    measure: str,
    samples: Samples,
    split: Split,
    rows: Numbers,
    candidates: Sequence[float],
    solver: str,
    seed: int = 0,
    fitted: Callable[[], Any] = lambda: None,
) -> SplitResult:
    """Choose C, train on all training samples, score the test samples.

    Args:
        measure: A measure for `recipes.features.measures.figure`; it also chooses C.
        samples: Labels and images.
        split: Their split.
        rows: (N, D) descriptors of all samples, NaN for a missing one.
        candidates: Candidates for C.
        solver: "liblinear" or "sgd".
        seed: Of the images that choose C, and of the solver.
        fitted: Is called after each SVM, of which each candidate has one, and the chosen one another.

    Raises:
        ValueError: A class has no usable training samples.
    """
    told = np.isfinite(rows[split.training]).all(1)
    training = split.training[told]
    labels, images = samples.labels[training], [samples.images[number] for number in training]
    if not (enough := trainable(labels)).all():
        lacking = samples.class_names[int(np.argmin(enough))]
        raise ValueError(
            f"class {lacking!r}: of the {len(training)} training images that can be used some must have it, some not"
        )
    descriptors = rows[training]
    choice = choose_c(descriptors, labels, images, partial(figure, measure), candidates, solver, seed, fitted)
    svm = fit(descriptors, labels, choice.c, solver, seed)
    fitted()
    scores, asked = svm.scores(rows[split.test]), samples.labels[split.test]
    known = samples.tests_are_labelled
    return SplitResult(
        split=split,
        used=len(training),
        choice=choice,
        svm=svm,
        scores=scores,
        labels=asked,
        figure=figure(measure, scores, asked) if known else None,
        per_class=per_class(measure, scores, asked) if known else [],
    )
