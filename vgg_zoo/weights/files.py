"""Writing files whole or not at all, and hashing them: weights and the files beside them."""

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
    """A file cannot be written because there is no space."""


def full_disk(error: BaseException) -> str | None:
    """The reason why there was no space, in words; None for any other error.

    safetensors and PyTorch raise their own errors, with and without the system's error number.
    """
    if isinstance(error, OSError):
        return _FULL.get(error.errno or 0)
    if found := re.search(r"os error (\d+)", str(error)):
        return _FULL.get(int(found[1]))
    wrote = re.search("PytorchStreamWriter failed writing|inline_container.*unexpected pos", str(error))
    return _FULL[errno.ENOSPC] if wrote else None


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Name the file in errors of the block about a full disk.

    Args:
        path: A file, or a folder with its content. In nested blocks, the outermost path counts.

    Raises:
        FullDiskError: The disk is full; the message is one line with the way out. Other errors do not change.
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
    """A temporary name to write a file under; it is renamed at the end, so a reader never sees half of it.

    After an error, the temporary file is removed and an existing file does not change.

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
        path: The file. It is read in blocks, so its size does not matter.
        kind: "sha256", or another hash of hashlib; sha1 only if nothing better was published.
    """
    digest = hashlib.new(kind, usedforsecurity=False)  # hashlib.file_digest needs Python 3.11
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def needs_extra(file: Path) -> Iterator[None]:
    """Turn a failed import into an error that says what to install.

    Args:
        file: The file that needs the package.

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
