"""Error rates and their intervals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from recipes.error_rates import mistakes, wilson_interval
from vgg_zoo.settings import scales_after_training


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
    assert mistakes(posteriors, torch.tensor([0, 1, -1])).tolist() == [[False, False], [True, True], [True, True]]


def test_the_scales_of_section_4_2() -> None:
    """Around a fixed S, or the ends and the middle of a range; smaller nets in proportion, never below their crop."""
    assert scales_after_training([256], 224) == [224, 256, 288]
    assert scales_after_training([384], 224) == [352, 384, 416]
    assert scales_after_training([256, 512], 224) == [256, 384, 512]
    assert scales_after_training([32], 32) == [32, 36]
