"""Libraries that only the conversion of some formats needs: the extra `convert`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def needs_extra(file: Path) -> Iterator[None]:
    """Say how to install what an import misses.

    Args:
        file: What cannot be read without.

    Raises:
        ImportError: The import failed.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"reading {file} needs {error.name}, which is not installed: pip install 'vgg-zoo[convert]'",
            name=error.name,
        ) from error
