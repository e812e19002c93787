"""The short form of `make soak`."""

import pytest

from tests.soak import soak


@pytest.mark.slow
def test_jobs_that_are_killed_at_random_end_bit_identical() -> None:
    """Forty seconds of trainings, evaluations and extractions in one and two processes."""
    assert soak(0.7, seed=1, names=("train", "evaluate", "extract_features"), most_processes=2)["all"] > 0
