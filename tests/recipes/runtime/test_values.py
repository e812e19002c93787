"""Values of options that need a look at what is installed."""

import pytest

from recipes.runtime.values import check_trackers


def test_a_tracker_that_is_not_installed_is_refused() -> None:
    """Accelerate would leave it out without a word; all that are there is no name of one."""
    check_trackers(["tensorboard", "all"])
    with pytest.raises(ValueError, match="--trackers dvclive: it is not installed; pip install dvclive"):
        check_trackers(["tensorboard", "dvclive"])
