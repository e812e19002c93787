"""The hash of a file's bytes."""

import hashlib
from pathlib import Path


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
