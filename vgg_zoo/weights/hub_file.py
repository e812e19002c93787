"""Files of a repository on the Hub, with their bytes checked before use.

The Hub's client checks only the length of a download, and never checks its cache: a flipped byte would be loaded
silently.
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
    """The file in the Hub's cache; it is downloaded if it is missing, and again if its bytes are wrong.

    Args:
        repository: Id of the repository, "org/name".
        name: The file's path in the repository.
        revision: A commit, tag or branch; None is the main branch. A cached commit needs no network.
        sha256: The expected hash in hexadecimal; None asks the cache, or else the Hub.
        cache_dir: The cache; None is the Hub's own.

    Raises:
        ValueError: The Hub sends wrong bytes twice.
        OSError: The file cannot be downloaded.
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
            f"{path} is altered (its sha256 is {found}, and must be {expected}), and it cannot be downloaded again: "
            f"{error}. Delete it, or call again where the Hub can be reached"
        ) from error
    again = file_digest(path)
    if again != expected:
        raise ValueError(
            f"{name} of {repository} at {revision or 'main'} has the sha256 {again} even after a second download, and "
            f"must have {expected}: it is not the published file. Nothing was loaded; delete {path}"
        )
    return path


def optional_file(repository: str, name: str, revision: str | None) -> Path | None:
    """A file in the Hub's cache, downloaded if it is missing; None if the repository has no such file.

    Raises:
        OSError: The file is not in the cache and the Hub does not answer.
    """
    try:
        return _fetched(repository, name, revision, None)
    except LocalEntryNotFoundError:  # no network, which is not the same as no file
        raise
    except EntryNotFoundError:
        return None


def _fetched(
    repository: str, name: str, revision: str | None, cache_dir: str | Path | None, again: bool = False
) -> Path:
    """The client's download; every failure becomes an OSError."""
    if again and constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    try:
        return Path(hf_hub_download(repository, name, revision=revision, cache_dir=cache_dir, force_download=again))
    except HTTPError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(
            f"{name} of {repository} cannot be downloaded ({type(error).__name__}: {error}); try again"
        ) from error


def _hash_of_the_hub(repository: str, name: str, path: Path) -> str:
    """The hash of a file: the cache stores a large file under its sha256; without symbolic links, ask the Hub."""
    # Only the first link: newer caches link from there to a store shared by all repositories, under xet's own hash.
    kept_as = (path.readlink() if path.is_symlink() else path).name
    if SHA256.fullmatch(kept_as):
        return kept_as
    commit = path.parents[len(Path(name).parts) - 1].name
    try:
        found = HfApi().get_paths_info(repository, [name], revision=commit)
    except HTTPError as error:
        raise OSError(f"the Hub's hash of {name} of {repository} cannot be downloaded ({error}); try again") from error
    lfs = getattr(found[0], "lfs", None) if found else None
    if lfs is None:
        raise ValueError(f"{name} of {repository} is not a large file, so the Hub has no sha256 to check it")
    return str(lfs.sha256)
