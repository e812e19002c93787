"""Files of weights and what lies beside them: hashed, and written whole or not at all."""

import errno
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from vgg_zoo.extras import install

_FULL = {
    errno.ENOSPC: "no space is left on its device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it grows larger than files may be here",
}


class FullDiskError(OSError):
    """A file cannot be written for want of space."""


def full_disk(error: BaseException) -> str | None:
    """Why there was no space to write, in words; None of any other error.

    safetensors and PyTorch say it in errors of their own: with the system's number, and without one.
    """
    if isinstance(error, OSError):
        return _FULL.get(error.errno or 0)
    if found := re.search(r"os error (\d+)", str(error)):
        return _FULL.get(int(found[1]))
    wrote = re.search("PytorchStreamWriter failed writing|inline_container.*unexpected pos", str(error))
    return _FULL[errno.ENOSPC] if wrote else None


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Name what a block writes where the disk is full.

    Args:
        path: A file, or a folder with all that is in it. In nested blocks the outermost one counts.

    Raises:
        FullDiskError: In one line, with the way out; any other error stays as it is.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        first = error.__cause__ if isinstance(error, FullDiskError) and error.__cause__ else error
        if (cause := full_disk(first)) is None:
            raise
        raise FullDiskError(
            f"cannot write {path}: {cause} ({first}). Free some space, and give the same command again: a run resumes"
        ) from first


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name to write a file under, which gets its own name at the end: a reader never sees half of it.

    After an error nothing is left of it, and a file that was there before stays as it was.

    Raises:
        FullDiskError: The disk is full; the message names the file.
    """
    writing = path.with_name(f".{path.name}.writing")
    try:
        with naming_full_disk(path):
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
            f"reading {file} needs {error.name}, which is not installed: {install('convert')}",
            name=error.name,
        ) from error
