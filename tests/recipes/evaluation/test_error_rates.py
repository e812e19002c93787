"""Error rates and their intervals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from recipes.evaluation.error_rates import posteriors, wilson_interval, wrong_guesses
from tests.helpers import small
from vgg_zoo.weights.settings import scales_after_training


@given(st.integers(1, 50_000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    """As SciPy computes it."""
    wrong, images = counts
    expected = binomtest(wrong, images).proportion_ci(0.95, "wilson")
    assert wilson_interval(wrong / images, images) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_an_image_without_posteriors_or_label_is_a_mistake() -> None:
    """NaN is never right, and neither is a label that is no class."""
    posteriors = torch.eye(7)[[0, 1, 2]]
    posteriors[1] = torch.nan
    assert wrong_guesses(posteriors, torch.tensor([0, 1, -1])).tolist() == [[False, False], [True, True], [True, True]]


def test_the_scales_of_section_4_2() -> None:
    """Around a fixed S, or the ends and the middle of a range; smaller nets in proportion, never below their crop."""
    assert scales_after_training([256], 224) == [224, 256, 288]
    assert scales_after_training([384], 224) == [352, 384, 416]
    assert scales_after_training([256, 512], 224) == [256, 384, 512]
    assert scales_after_training([32], 32) == [32, 36]


@pytest.mark.parametrize("shape", [(64, 64), (96, 131), (200, 64)])
def test_posteriors_are_the_flip_average_of_soft_maxes(shape: tuple[int, int]) -> None:
    """Spatial mean of the class score map, then soft-max, then the mean over flips (Sect. 3.2)."""
    model, images = small(), torch.randn(3, 3, *shape)
    with torch.no_grad():
        expected = sum(model.class_score_map(x).mean((2, 3)).softmax(1) for x in (images, images.flip(-1))) / 2
    scores = posteriors(model, images)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(scores.sum(1), torch.ones(3))


def test_posteriors_without_flip_are_one_soft_max() -> None:
    """And differ from those with flips."""
    model, images = small(), torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(posteriors(model, images, flip=False), model(images).detach().softmax(1))
    assert not torch.allclose(posteriors(model, images), posteriors(model, images, flip=False), atol=1e-6)
