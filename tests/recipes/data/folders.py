"""Folders of images for tests, of a line each: `images(root, "train/cat", 3)`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from recipes.data.images import LabelledImages


def images(root: Path, folder: str, count: int, name: str = "{}.png") -> list[Path]:
    """Images of 8 × 8 pixels in a folder, which is made."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    files = [root / folder / name.format(place) for place in range(count)]
    for file in files:
        Image.new("RGB", (8, 8)).save(file, "PNG")
    return files


def tree(root: Path, counts: Mapping[str, int]) -> Path:
    """A folder of folders with so many images each."""
    for folder, count in counts.items():
        images(root, folder, count)
    return root


def classes_of(split: LabelledImages) -> dict[str, int]:
    """How many images each class has, by name."""
    labels = split.rows["label"][:]
    return {name: labels.count(place) for place, name in enumerate(split.class_names)}


def files_of(split: LabelledImages, root: Path) -> Iterator[tuple[str, str]]:
    """Path and class of each image."""
    for name, label in zip(split.names(range(len(split))), split.rows["label"][:], strict=True):
        yield str(Path(name).relative_to(root)), split.class_names[label]
