"""Commands that run in the tests' own process."""

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def own_precision() -> Iterator[None]:
    """Accelerate keeps the precision of a process's first command; a user's process has one, the tests' has many."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()
