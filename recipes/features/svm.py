"""Linear SVMs, one against the rest, and the choice of their C on held-out images (Appendix B)."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.svm import LinearSVC

from recipes.features.samples import Numbers, hold_out
from recipes.names import SOLVERS

LIBLINEAR_NUMBERS = 2.5e8
"""Maximum numbers N · D for which "auto" takes liblinear, which needs 24 bytes for each; enough for one net."""

SGD_STEPS = 1_000_000
"""Images that the stochastic solver sees; the number is limited to 20 to 1000 epochs."""

Measure = Callable[[Numbers, Numbers], float]
"""A function from (N, K) scores and labels to a figure; larger is better."""


@dataclass(frozen=True, slots=True)
class LinearSVM:
    """A hyperplane for each class.

    Attributes:
        weights: (K, D).
        biases: (K,).
        iterations: Maximum iterations of a class.
        not_converged: Number of fits that ended at the limit of iterations.
    """

    weights: Numbers
    biases: Numbers
    iterations: int
    not_converged: int

    def scores(self, descriptors: Numbers) -> Numbers:
        """(N, K) signed distances of (N, D) descriptors, times the weights' length; rows of NaN stay NaN."""
        return np.asarray(descriptors @ self.weights.T.astype(descriptors.dtype) + self.biases)


def solver_for(solver: str, descriptors: Numbers) -> str:
    """ "liblinear" or "sgd".

    Raises:
        ValueError: Neither these nor "auto".
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose from {', '.join(SOLVERS)}")
    if solver != "auto":
        return solver
    return "liblinear" if descriptors.size <= LIBLINEAR_NUMBERS else "sgd"


def fit(descriptors: Numbers, labels: Numbers, c: float, solver: str, seed: int = 0) -> LinearSVM:
    """An SVM for each class against the rest.

    Args:
        descriptors: (N, D), finite.
        labels: (N, K), 1, -1, or 0, which is ignored for this class.
        c: Weight of the losses relative to ½‖w‖².
        solver: "liblinear", squared hinge loss; or "sgd", hinge loss with averaged stochastic steps.
        seed: Seed of the order of the steps.

    Raises:
        ValueError: A class has no positive or no negative image.
    """
    if not (told := trainable(labels)).all():
        raise ValueError(f"class {np.argmin(told)}: some training images must have it, and some must not")
    one_class_each = labels.shape[1] > 2 and bool(((labels > 0).sum(1) == 1).all() and (labels != 0).all())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if one_class_each:  # one copy of the descriptors for all classes
            weights, biases, iterations = _fit(descriptors, labels.argmax(1), c, solver, seed)
        else:
            weights, biases, iterations = _fit_each(descriptors, labels, c, solver, seed)
    failed = sum(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return LinearSVM(weights, biases, iterations, failed)


def trainable(labels: Numbers) -> Numbers:
    """(K,), whether a class has images with it and images without it."""
    return np.asarray((labels > 0).any(0) & (labels < 0).any(0))


def _fit_each(descriptors: Numbers, labels: Numbers, c: float, solver: str, seed: int) -> tuple[Numbers, Numbers, int]:
    found = []
    for column in labels.T:
        told = column != 0
        used = descriptors if told.all() else descriptors[told]
        found.append(_fit(used, column[told] > 0, c, solver, seed))
    weights, biases, iterations = zip(*found, strict=True)
    return np.concatenate(weights), np.concatenate(biases), max(iterations)


def _fit(descriptors: Numbers, classes: Numbers, c: float, solver: str, seed: int) -> tuple[Numbers, Numbers, int]:
    estimator = _solver(c, solver, len(classes), seed).fit(descriptors, classes)
    return estimator.coef_, estimator.intercept_, int(np.max(estimator.n_iter_))


def _solver(c: float, solver: str, images: int, seed: int) -> Any:
    if solver == "liblinear":
        return LinearSVC(C=c, dual="auto", tol=1e-4, max_iter=20_000, random_state=seed)
    epochs = min(1000, max(20, math.ceil(SGD_STEPS / images)))
    # The same objective: alpha/2 ‖w‖² + mean loss is ½‖w‖² + C · sum of losses, divided by C · N. Its own stopping rule
    # stops far too early; so a fixed number of steps, of which the second half is averaged.
    half = max(1, epochs * images // 2)
    return SGDClassifier(alpha=1 / (c * images), tol=None, max_iter=epochs, average=half, random_state=seed)


@dataclass(frozen=True, slots=True)
class Choice:
    """The C that is best on held-out images, and every candidate's figure on them."""

    c: float
    figures: dict[float, float]
    held_out: int
    not_converged: int

    @property
    def at_the_border(self) -> bool:
        """Whether the best is the smallest or largest candidate, so that a better one may exist outside the range."""
        return len(self.figures) > 1 and self.c in (min(self.figures), max(self.figures))


def choose_c(
    descriptors: Numbers,
    labels: Numbers,
    images: Sequence[str],
    measure: Measure,
    candidates: Sequence[float],
    solver: str,
    seed: int = 0,
    fitted: Callable[[], Any] = lambda: None,
) -> Choice:
    """Train on four fifths of the training images with every C, and measure on the others; in a tie the smaller C wins.

    Args:
        descriptors: (N, D), finite descriptors of training images.
        labels: (N, K).
        images: (N,), image of each sample; samples of one image stay together.
        measure: The measure; larger is better.
        candidates: At least one; a single candidate is taken without training.
        solver: "liblinear" or "sgd".
        seed: Of the draw and the solver.
        fitted: Is called after each SVM.

    Raises:
        ValueError: A candidate is not above 0, or there are too few images.
    """
    if not candidates or min(candidates) <= 0:
        raise ValueError(f"C must be above 0; got {list(candidates)}")
    if len(candidates) == 1:
        return Choice(candidates[0], {}, 0, 0)
    left, held = hold_out(labels, images, seed)
    used = trainable(labels[left])  # a class with a single training image may have none left
    if len(held) == 0 or not used.any():
        raise ValueError(f"{len(labels)} training images are too few to choose C on a fifth of them; give one C")
    figures, failed = {}, 0
    for c in sorted(candidates):
        machine = fit(descriptors[left], labels[left][:, used], c, solver, seed)
        figures[c] = measure(machine.scores(descriptors[held]), labels[held][:, used])
        failed += machine.not_converged
        fitted()
    return Choice(max(figures, key=lambda c: (figures[c], -c)), figures, len(held), failed)
