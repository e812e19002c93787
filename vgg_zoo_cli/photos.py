"""From the words of the command line to photos: files, folders, globs, http(s) addresses."""

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
"""Of the files of a folder that are taken for photos; a file that is named is read whatever it is called."""

_SCHEMES = ("http", "https")


def is_address(word: str) -> bool:
    """Whether a word is an address on the web rather than a path."""
    return "://" in word


def check_photos(words: Sequence[str]) -> None:
    """Refuse a word that no photo can come from; nothing is opened or fetched.

    Raises:
        ValueError: With the word and what is wrong.
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
        raise ValueError(f"{word} is no address: {error}") from error
    if parts.scheme.lower() not in _SCHEMES:
        raise ValueError(f"{word}: photos are fetched by http and https only; got {parts.scheme}")
    if not host or parts.username is not None:
        raise ValueError(f"{word} is no address of a photo: it has {'a user' if host else 'no host'}")


def each_photo(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Every photo in order, with its path below the folder that was named, or its name alone.

    A folder's photos are those of its sub-folders too, in the order of their names; hidden files are left out.
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
    """How many `each_photo` gives; no more than the folders are read."""
    return sum(1 for _ in each_photo(words))


def ignored_files(words: Sequence[str]) -> int:
    """Files of the folders that are no photos by their names."""
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
