"""Confusion matrices of 2 to 256 classes, and the AP of classes: numbers, names and what stands for them."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from recipes.features.plots import bars, confusion
from tests.pictures import Drawn, drawn, long_names


def matrix(classes: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Counts of 50 images a class, most of them right; the last column is of unreadable ones."""
    generator = np.random.default_rng(seed)
    found = np.zeros((classes, classes + 1))
    for row in range(classes):
        found[row] = generator.multinomial(8, np.full(classes + 1, 1 / (classes + 1)))
        found[row, row] += 42
    return found


def picture(counts: np.ndarray[Any, Any], names: list[str]) -> Drawn:
    """The confusion matrix."""
    return drawn(partial(confusion, counts, names, "Caltech-101"))


@pytest.mark.parametrize("classes", [2, 10, 20, 30, 101])
@pytest.mark.parametrize("long", [False, True])
def test_nothing_overlaps(classes: int, long: bool) -> None:
    """Whatever the names."""
    names = list(long_names(classes)) if long else [f"c{number}" for number in range(classes)]
    found = picture(matrix(classes), names)
    found.check()
    assert "Caltech-101" in found.words
    assert "% of the class's test images" in found.words
    assert found.picture.width < 1350


def test_numbers_are_percentages_of_a_class() -> None:
    """None in an empty cell; names as they are."""
    counts = np.array([[45.0, 5, 0, 0], [0, 199, 1, 0], [10, 0, 30, 10]])
    found = picture(counts, ["cat", "dog", "bird"])
    numbers = [text.get_text() for text in found.figure.axes[0].texts]
    assert numbers == ["90", "10", "100", "<1", "20", "60"]
    assert {"cat", "dog", "bird"} <= set(found.words)


def test_many_classes_are_numbered_and_the_worst_are_named() -> None:
    """The five cells beside the diagonal that have most; none where there is none."""
    counts = 50.0 * np.eye(40, 41)
    assert not any("taken for" in word for word in picture(counts, [f"c{number}" for number in range(40)]).words)
    counts[3, 7], counts[5, 1] = 50, 10
    words = "\n".join(picture(counts, [f"c{number}" for number in range(40)]).words)
    assert words.index("50% of c3 taken for c7") < words.index("17% of c5 taken for c1")


@pytest.mark.parametrize("classes", [1, 2, 10, 20])
def test_the_highest_ap_is_on_top(classes: int) -> None:
    """The mean is a line, and a class that no image has says so."""
    per_class: dict[str, float | None] = {f"class {number}": number / 20 for number in range(classes)}
    per_class["none"] = None
    found = drawn(partial(bars, per_class, 0.5, "11-point", "PASCAL VOC-2007 classification"))
    assert (found.overlapping(), found.clipped()) == ([], [])
    heights = {text: box[1] for text, box in found.texts}
    order = sorted((text for text in heights if text.startswith("class ")), key=lambda text: -heights[text])
    assert order == [f"class {number}" for number in reversed(range(classes))]
    assert heights["no image has it"] < min(heights[text] for text in order)
    assert "mean 50.0" in found.words
