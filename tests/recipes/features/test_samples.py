"""Which samples choose C."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.features.samples import HELD_OUT_FOR_C, hold_out, one_hot


@given(st.lists(st.tuples(st.integers(0, 30), st.lists(st.booleans(), min_size=3, max_size=3)), min_size=1))
def test_images_are_held_out_whole(pairs: list[tuple[int, list[bool]]]) -> None:
    """Every sample is on one side, samples of one image on the same."""
    images, labels = [str(image) for image, _ in pairs], np.where([has for _, has in pairs], 1, -1)
    left, held = hold_out(labels, images, 0)
    assert sorted([*left.tolist(), *held.tolist()]) == list(range(len(pairs)))
    assert not {images[number] for number in left} & {images[number] for number in held}


@pytest.mark.parametrize("training", [30, 60])
def test_a_fifth_of_every_class_chooses_c(training: int) -> None:
    """6 of Caltech-101's 30 images a class, 12 of Caltech-256's 60."""
    labels = one_hot(np.repeat(np.arange(7), training), 7)
    _, held = hold_out(labels, list(map(str, range(len(labels)))), 3)
    assert (labels[held] > 0).sum(0).tolist() == [HELD_OUT_FOR_C * training] * 7
