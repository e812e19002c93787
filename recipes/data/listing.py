"""Listing a folder: its images, recognised by name or else by content, and counts of all other files."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from recipes.data.notes import many, some
from vgg_zoo.images.formats import FIRST_BYTES, format_of

_ENDINGS = """
    .jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm
    .jp2 .j2k .jpx .ico .psd .tga .qoi .avif .avifs .heic .heif .jxl
"""
ENDINGS = frozenset(_ENDINGS.split())
"""Files with these extensions count as images without being opened; damaged ones are reported when they are decoded."""

_SYSTEM = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"))


@dataclass(slots=True)
class Tree:
    """A folder; links are followed.

    Attributes:
        images: Names of its image files.
        folders: Its sub-folders by name.
        others: Names of all other entries.
    """

    images: list[str] = field(default_factory=list)
    folders: dict[str, "Tree"] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def every(self, inside: str = "") -> list[str]:
        """All images in it and in its folders, as paths from it, in torchvision's order: by folder, then by name."""
        walked = sorted((place, tree.images) for place, tree in self._walk(inside))
        return [f"{place}{name}" for place, names in walked for name in sorted(names)]

    def all_others(self, inside: str = "") -> list[str]:
        """Paths of everything that is no image."""
        walked = sorted((place, tree.others) for place, tree in self._walk(inside))
        return [f"{place}{name}" for place, names in walked for name in names]

    @property
    def count(self) -> int:
        """The number of images in it and in its folders."""
        return sum(len(tree.images) for _, tree in self._walk(""))

    @property
    def is_empty(self) -> bool:
        """Whether there is no file in it nor in its folders."""
        return not any(tree.images or tree.others for _, tree in self._walk(""))

    def _walk(self, inside: str) -> Iterator[tuple[str, "Tree"]]:
        yield inside, self
        for name, tree in self.folders.items():
            yield from tree._walk(f"{inside}{name}/")


def read_tree(folder: str | Path, around: frozenset[tuple[int, int]] = frozenset()) -> Tree:
    """The content of a folder; a link to one of its parent folders is not followed.

    Args:
        folder: Path of the folder.
        around: Device and inode of its parent folders.

    Raises:
        OSError: A folder cannot be read.
    """
    found = Tree()
    status = Path(folder).stat()
    around |= {(status.st_dev, status.st_ino)}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if _is_hidden(entry.name):
                found.others.append(entry.name + "/" * _is(entry.is_dir))
            elif _is(entry.is_dir):
                status = entry.stat()
                if (status.st_dev, status.st_ino) in around:
                    found.others.append(f"{entry.name}/")
                else:
                    found.folders[entry.name] = read_tree(entry.path, around)
            elif (_is(entry.is_file) or entry.is_symlink()) and is_image(entry.path):
                found.images.append(entry.name)
            else:
                found.others.append(entry.name)
    return found


def is_image(path: str) -> bool:
    """Whether a file is an image, according to its name or else its first bytes."""
    if f".{path.rpartition('.')[2].lower()}" in ENDINGS:
        return True
    try:
        with Path(path).open("rb") as file:
            return format_of(file.read(FIRST_BYTES)) is not None
    except OSError:
        return False


def other_files(paths: list[str]) -> list[str]:
    """A sentence on files that are no images, counted by kind, if there are any."""
    if not paths:
        return []
    counts = Counter(_kind(path) for path in paths)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    return [f"{many(len(paths), 'file is no image', 'files are no images')} ({kinds}): {some(paths)}"]


def _is(question: Callable[[], bool]) -> bool:
    """Whether an entry is of the given kind; a circular link is nothing."""
    try:
        return question()
    except OSError:
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def _kind(path: str) -> str:
    name = path.rstrip("/").rpartition("/")[2]
    if path.endswith("/"):
        return "hidden folder(s)" if _is_hidden(name) else "link(s) to a folder around them"
    return "hidden" if _is_hidden(name) else PurePosixPath(name).suffix.lower() or "without an ending"
