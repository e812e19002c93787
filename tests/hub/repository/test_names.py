"""What the command line knows without importing anything is what decides."""

from hub.repository import names
from recipes.runtime import values
from vgg_zoo import results
from vgg_zoo.weights import folder, published


def test_names_of_files_are_those_that_are_written() -> None:
    """By the package: a net's folder, its results, the lock file."""
    assert (folder.CONFIG, folder.WEIGHTS) == names.OF_A_NET
    assert results.RESULTS == names.RESULTS == values.RESULTS
    assert names.package_lock() == published.LOCK
