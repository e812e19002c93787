"""A file of a repository on the Hub, its bytes checked before they are used.

The Hub's client checks a download by its length only, and what is in its cache not at all: a flipped byte would be
loaded without a word.
"""

import re
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError

from vgg_zoo.weights.files import file_digest

SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_file(
    repository: str, name: str, revision: str | None, sha256: str | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The file in the Hub's cache, fetched if it is not there, and fetched again if its bytes are not right.

    Args:
        repository: Its id, "org/name".
        name: The file's path in it.
        revision: A commit, tag or branch; None is the main branch. A cached commit needs no network.
        sha256: What the bytes must be, in hexadecimal; None asks the cache, or else the Hub.
        cache_dir: None is the Hub's own cache.

    Raises:
        ValueError: The Hub sends other bytes, again.
        OSError: The file cannot be fetched.
    """
    path = _fetched(repository, name, revision, cache_dir)
    expected = sha256 or _hash_of_the_hub(repository, name, path)
    found = file_digest(path)
    if found == expected:
        return path
    try:
        path = _fetched(repository, name, revision, cache_dir, again=True)
    except OSError as error:
        raise OSError(
            f"{path} is altered (its sha256 is {found}, and must be {expected}), and it cannot be fetched again: "
            f"{error}. Delete it, or call again where the Hub can be reached"
        ) from error
    again = file_digest(path)
    if again != expected:
        raise ValueError(
            f"{name} of {repository} at {revision or 'main'} has the sha256 {again}, also when fetched again, and must "
            f"have {expected}: it is not the file that was published. Nothing was loaded; delete {path}"
        )
    return path


def optional_file(repository: str, name: str, revision: str | None) -> Path | None:
    """A file in the Hub's cache, fetched if it is not there; None where the repository has none of this name.

    Raises:
        OSError: Neither the cache nor the Hub can tell.
    """
    try:
        return _fetched(repository, name, revision, None)
    except LocalEntryNotFoundError:  # no network, which is another thing than no file
        raise
    except EntryNotFoundError:
        return None


def _fetched(
    repository: str, name: str, revision: str | None, cache_dir: str | Path | None, again: bool = False
) -> Path:
    """The client's download, whose every failure is an OSError."""
    if again and constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    try:
        return Path(hf_hub_download(repository, name, revision=revision, cache_dir=cache_dir, force_download=again))
    except HTTPError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(
            f"{name} of {repository} cannot be fetched ({type(error).__name__}: {error}); try again"
        ) from error


def _hash_of_the_hub(repository: str, name: str, path: Path) -> str:
    """The cache keeps a large file under its sha256; where it does not (no symbolic links), the Hub is asked."""
    # The first link alone: newer caches link from there to a store that all repositories share, under xet's own hash.
    kept_as = (path.readlink() if path.is_symlink() else path).name
    if SHA256.fullmatch(kept_as):
        return kept_as
    commit = path.parents[len(Path(name).parts) - 1].name
    try:
        found = HfApi().get_paths_info(repository, [name], revision=commit)
    except HTTPError as error:
        raise OSError(f"the Hub's hash of {name} of {repository} cannot be fetched ({error}); try again") from error
    lfs = getattr(found[0], "lfs", None) if found else None
    if lfs is None:
        raise ValueError(f"{name} of {repository} is no large file: the Hub has no sha256 of it to check it by")
    return str(lfs.sha256)
