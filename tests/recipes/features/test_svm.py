"""Linear SVMs beside an exact solver, and the choice of their C."""

import numpy as np
import pytest
from sklearn.svm import SVC

from recipes.features.measures import ALL_POINT, figure
from recipes.features.samples import one_hot
from recipes.features.svm import LIBLINEAR_NUMBERS, choose_c, fit, solver_for


def cloud(classes: int, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors around a centre for each class, of length 1."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    rows = generator.normal(size=(classes, 20))[labels] + generator.normal(size=(images, 20))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("solver", ["liblinear", "sgd"])
def test_one_class_each_and_class_by_class_are_the_same_machines(classes: int, solver: str) -> None:
    """The way for images of one class and the way for images of several agree; both tell the classes apart."""
    rows, numbers = cloud(classes, 200)
    labels = one_hot(numbers, classes)
    together = fit(rows, labels, 1.0, solver)
    apart = [fit(rows, labels[:, [one, one]], 1.0, solver) for one in range(classes)]
    assert together.not_converged == 0
    for one, machine in enumerate(apart):
        assert np.allclose(machine.scores(rows)[:, 0], together.scores(rows)[:, one], atol=0.05)
    assert (together.scores(rows).argmax(1) == numbers).mean() > 0.9


def test_the_sgd_solver_minimises_the_hinge_loss() -> None:
    """Its objective is near that of libsvm's exact solution."""
    rows, numbers = cloud(2, 300, seed=1)
    labels, c = one_hot(numbers, 2), 3.0
    exact, ours = SVC(kernel="linear", C=c).fit(rows, numbers), fit(rows, labels, c, "sgd")

    def objective(weights: np.ndarray, bias: float) -> float:
        sides = labels[:, 1] * (rows @ weights.astype(np.float32) + bias)
        return float(0.5 * weights @ weights + c * np.maximum(0, 1 - sides).sum())

    assert objective(ours.weights[1], ours.biases[1]) < 1.02 * objective(exact.coef_[0], exact.intercept_[0])


def test_difficult_images_train_nothing() -> None:
    """Moving an image that has 0 for a class leaves that class's SVM as it is."""
    rows, numbers = cloud(2, 60)
    labels = one_hot(numbers, 2)
    labels[5, 0] = 0
    moved = rows.copy()
    moved[5] = -3
    before, after = fit(rows, labels, 1.0, "liblinear"), fit(moved, labels, 1.0, "liblinear")
    assert np.array_equal(before.weights[0], after.weights[0])
    assert not np.array_equal(before.weights[1], after.weights[1])


def test_a_class_needs_examples() -> None:
    """Of both kinds, else it is named."""
    rows, _ = cloud(2, 10)
    with pytest.raises(ValueError, match="class 1: some training images must have it"):
        fit(rows, np.repeat([[1, -1], [-1, -1]], 5, axis=0), 1.0, "liblinear")


def test_c_is_the_smallest_of_the_best_on_held_out_images() -> None:
    """Every candidate is measured, none on what trained it; no classes are lost that have a single image."""
    rows, numbers = cloud(3, 90)
    labels = one_hot(numbers, 3)
    labels = np.column_stack([labels, np.where(np.arange(90) == 0, 1, -1)])  # a class of one image

    def measure(scores: np.ndarray, asked: np.ndarray) -> float:
        assert len(scores) == len(asked) < 25
        return figure(ALL_POINT, scores, asked)

    images = list(map(str, range(90)))
    choice = choose_c(rows, labels, images, measure, [10.0, 0.1, 1.0], "liblinear")
    assert list(choice.figures) == [0.1, 1.0, 10.0]
    assert choice.c == min(c for c, figure in choice.figures.items() if figure == max(choice.figures.values()))
    assert choose_c(rows, labels, images, measure, [7.0], "liblinear").c == 7.0
    with pytest.raises(ValueError, match="C must be above 0"):
        choose_c(rows, labels, images, measure, [0.0, 1.0], "liblinear")


def test_large_sets_go_to_the_stochastic_solver() -> None:
    """By the size of the descriptors, which are not touched."""
    large = np.broadcast_to(np.float32(0), (int(LIBLINEAR_NUMBERS), 2))
    assert solver_for("auto", large) == "sgd"
    assert solver_for("auto", large[:10]) == "liblinear"
    assert solver_for("liblinear", large) == "liblinear"
    with pytest.raises(ValueError, match="unknown solver 'newton'; choose from auto, liblinear, sgd"):
        solver_for("newton", large)


def test_too_few_images_to_choose_c() -> None:
    """Said as that, with the way out; one C needs none."""
    rows, labels = np.eye(2, dtype=np.float32), one_hot([0, 1], 2)
    with pytest.raises(ValueError, match="2 training images are too few to choose C on a fifth of them; give one C"):
        choose_c(rows, labels, ["a", "b"], lambda scores, asked: 0.0, [1.0, 2.0], "liblinear")
