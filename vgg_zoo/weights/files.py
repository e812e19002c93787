"""Files of weights and what lies beside them: hashed, and written whole or not at all."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name to write a file under, which gets its own name at the end: a reader never sees half of it.

    After an error nothing is left of it, and a file that was there before stays as it was.
    """
    writing = path.with_name(f".{path.name}.writing")
    try:
        yield writing
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Hash of a file's bytes, in hexadecimal.

    Args:
        path: Read in blocks, so that a file of any size takes no memory.
        kind: "sha256", or what else hashlib knows; sha1 only where nothing better was published.
    """
    digest = hashlib.new(kind, usedforsecurity=False)  # hashlib.file_digest came with Python 3.11
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
