"""Average precision and mean class recall against slow implementations and scikit-learn's."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.features.measures import (
    ALL_POINT,
    ELEVEN_POINT,
    NO_CLASS,
    average_precision,
    class_recalls,
    confusion,
    figure,
    per_class,
)

RANKINGS = st.lists(st.tuples(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), st.sampled_from([-1, 0, 1])), min_size=1)


def by_the_kit(ranking: list[tuple[float, int]], eleven: bool) -> Fraction | None:
    """VOCevalcls.m and VOCap.m line by line, in fractions; None without positives."""
    ranking = sorted(ranking, key=lambda pair: -pair[0])  # stable, as MATLAB's
    positives = sum(label > 0 for _, label in ranking)
    if positives == 0:
        return None
    right, wrong, recall, precision = 0, 0, [], []
    for _, label in ranking:
        right, wrong = right + (label > 0), wrong + (label < 0)
        recall.append(Fraction(right, positives))
        precision.append(Fraction(right, right + wrong) if right + wrong else None)  # NaN, which max() passes over
    if eleven:
        total = Fraction(0)
        for tenth in range(11):
            pairs = zip(recall, precision, strict=True)
            reached = [p for r, p in pairs if p is not None and r >= Fraction(tenth, 10)]
            total += max(reached, default=Fraction(0)) / 11
        return total
    mrec, mpre = [Fraction(0), *recall, Fraction(1)], [Fraction(0), *(p or Fraction(0) for p in precision), Fraction(0)]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum(((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec))), Fraction(0))


@given(RANKINGS, st.sampled_from([ELEVEN_POINT, ALL_POINT]))
def test_average_precision_is_the_kits(ranking: list[tuple[float, int]], definition: str) -> None:
    """Both definitions, with ties, images without a score and difficult ones."""
    scores, labels = (np.array(column) for column in zip(*ranking, strict=True))
    found, expected = average_precision(scores, labels, definition), by_the_kit(ranking, definition == ELEVEN_POINT)
    assert np.isnan(found) if expected is None else found == pytest.approx(float(expected), abs=1e-12)


def test_average_precision_by_hand() -> None:
    """Right, wrong, right: precision 1 up to recall 1/2, then 2/3; six of the eleven recalls are up to 1/2."""
    scores, labels = np.array([3.0, 2.0, 1.0]), np.array([1, -1, 1])
    assert average_precision(scores, labels, ELEVEN_POINT) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert average_precision(scores, labels, ALL_POINT) == pytest.approx((1 + 2 / 3) / 2)


def test_three_of_ten_is_a_recall_of_three_tenths() -> None:
    """0.1 × 3 is more than 0.3 in floating point; the fourth of the eleven recalls is reached all the same."""
    labels = np.array([1] * 3 + [-1] * 10 + [1] * 7)
    found = average_precision(-np.arange(20.0), labels, ELEVEN_POINT)
    assert found == pytest.approx((4 * 1 + 7 * 10 / 20) / 11)


def test_the_mean_is_over_classes_that_images_have() -> None:
    """A class without positives has no AP; without any class there is no mean."""
    scores, labels = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1, -1], [-1, -1]])
    each = per_class(ALL_POINT, scores, labels)
    assert figure(ALL_POINT, scores, labels) == each[0] == 1
    assert np.isnan(each[1])
    with pytest.raises(ValueError, match="none of the 1 classes"):
        figure(ALL_POINT, scores[:, 1:], labels[:, 1:])
    with pytest.raises(ValueError, match="unknown average precision 'area'; choose 11-point or all-point"):
        average_precision(scores[:, 0], labels[:, 0], "area")
    with pytest.raises(ValueError, match="as many numbers"):
        average_precision(scores[:, 0], labels, ALL_POINT)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_class_recalls_are_counted(pairs: list[tuple[int, int]]) -> None:
    """As by hand: of each class's images those whose prediction is right."""
    labels, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = confusion(predicted, labels, 5)
    counted = [[sum((x, y) == (row, column) for x, y in pairs) for column in range(5)] for row in range(5)]
    assert matrix.tolist() == [[*row, 0] for row in counted]
    recalls = class_recalls(predicted, labels, 5)
    for one, (row, recall) in enumerate(zip(counted, recalls, strict=True)):
        assert np.isnan(recall) if sum(row) == 0 else recall == row[one] / sum(row)
    assert matrix.sum() == len(pairs)


def test_an_image_without_a_prediction_is_an_error_of_its_class() -> None:
    """It is in the last column, and no class gains from it."""
    predicted, labels = np.array([0, NO_CLASS, 1, NO_CLASS]), np.array([0, 0, 1, 1])
    assert confusion(predicted, labels, 2).tolist() == [[1, 0, 1], [0, 1, 1]]
    assert class_recalls(predicted, labels, 2) == [0.5, 0.5]
