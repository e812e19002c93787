"""Photos from the words of the command line: files, folders, globs, http(s) addresses."""

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic"),
        *(".heif", ".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".psd", ".qoi", ".dds"),
    }
)
"""Extensions of photos in a folder; a file that is named directly is read whatever its extension."""

_SCHEMES = ("http", "https")


def is_address(word: str) -> bool:
    """Whether a word is a web address, not a path."""
    return "://" in word


def check_photos(words: Sequence[str]) -> None:
    """Refuse a word that names no photo; nothing is opened or downloaded.

    Raises:
        ValueError: The word names no photo; the message says why.
    """
    for word in words:
        if is_address(word):
            _check_address(word)
        elif Path(word).is_dir():
            if not any(islice(_in_folder(word), 1)):
                raise ValueError(f"there is no photo in the folder {word}; one ends in .jpg, .png or the like")
        elif not os.path.lexists(word):
            if not glob.has_magic(word):
                raise ValueError(f"there is no file or folder {word}")
            if not any(islice(_matches(word), 1)):
                raise ValueError(f"no file matches {word}")


def _check_address(word: str) -> None:
    try:
        parts = urlsplit(word)
        host = parts.hostname
    except ValueError as error:
        raise ValueError(f"{word} is not an address: {error}") from error
    if parts.scheme.lower() not in _SCHEMES:
        raise ValueError(f"{word}: photos are downloaded only by http and https; got {parts.scheme}")
    if not host or parts.username is not None:
        raise ValueError(f"{word} is not an address of a photo: it has {'a user' if host else 'no host'}")


def each_photo(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Every photo in order, with its path below the given folder, or only its name.

    A folder's photos include those of its sub-folders, in the order of their names; hidden files are skipped.
    """
    for word in words:
        if is_address(word):
            yield word, Path(Path(urlsplit(word).path).name or "photo")
        elif Path(word).is_dir():
            yield from ((path, Path(path).relative_to(word)) for path in _in_folder(word))
        elif glob.has_magic(word) and not os.path.lexists(word):
            yield from ((path, Path(Path(path).name)) for path in _matches(word))
        else:
            yield word, Path(Path(word).name)


def count_photos(words: Sequence[str]) -> int:
    """Number of photos of `each_photo`; this only lists the folders."""
    return sum(1 for _ in each_photo(words))


def ignored_files(words: Sequence[str]) -> int:
    """Files of the folders whose names are not those of photos."""
    folders = [word for word in words if not is_address(word) and Path(word).is_dir()]
    return sum(Path(path).suffix.lower() not in SUFFIXES for word in folders for path in _files(word))


def _in_folder(folder: str) -> Iterator[str]:
    return (path for path in _files(folder) if Path(path).suffix.lower() in SUFFIXES)


def _files(folder: str) -> Iterator[str]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (str(Path(at) / name) for name in sorted(files) if not name.startswith("."))


def _matches(pattern: str) -> Iterator[str]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (pathlib's knows no absolute patterns)
    return (path for path in found if Path(path).is_file())
