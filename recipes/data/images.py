"""Images and labels of a run as map-style sets: from the Hub, a folder, parquet or the bundled digits.

Images are decoded where they are used, one at a time. An image that cannot be decoded is never dropped silently: in
training, the next readable image replaces it; in testing, it counts as an error. In both cases it is a `Problem`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from recipes.runtime.look import progress
from vgg_zoo.images.decoding import BadImageError, Pixels, read_pixels
from vgg_zoo.images.preprocessing import Colours

_COLOUR_IMAGES = 10_000

UNLABELLED = -1
"""Label of an image whose class is unknown, such as ILSVRC's test images."""

PLACE = "place"
"""Column of a split without some images: the index among all images."""


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """An image that could not be decoded, or a box that could not be used."""

    split: str
    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.split} image {self.index} {self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """A split: images and the number of their class.

    Attributes:
        name: "training", "validation" or "unlabelled".
        rows: The columns "image" (undecoded) and "label".
        class_names: Names in the order of the labels.
        notes: What was guessed and ignored when the data set was read.
    """

    name: str
    rows: datasets.Dataset
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, index: int) -> Pixels:
        """The image, (H, W, 3), RGB in 0–255.

        Raises:
            BadImageError: It cannot be decoded.
        """
        return read_pixels(image_source(self.rows[index]["image"]))

    def label(self, index: int) -> int:
        """The class of the image at the same index."""
        return int(self.rows[index]["label"])

    def names(self, indices: range) -> list[str]:
        """Name of each image: its path in the data set, or else its index."""
        stored = self.rows.with_format("arrow")[indices.start : indices.stop]["image"]  # copies no image
        paths = stored.combine_chunks().field("path").to_pylist()
        return [path or str(index) for index, path in zip(indices, paths, strict=True)]

    def read(self, indices: Sequence[int]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """Images and their classes; None and a problem for an image that cannot be decoded."""
        return self._decode(indices, self.rows[list(indices)])

    def _decode(self, indices: Sequence[int], rows: dict[str, Any]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """Like `read`, for rows that are loaded already; problems have the index among all images."""
        found: list[tuple[Pixels | None, int, Problem | None]] = []
        for index, stored, label in zip(rows.get(PLACE, indices), rows["image"], rows["label"], strict=True):
            try:
                found.append((read_pixels(image_source(stored)), label, None))
            except BadImageError as error:
                name = (stored or {}).get("path") or ""
                found.append((None, label, Problem(self.name, index, name, str(error))))
        return found

    def read_or_next(self, indices: Sequence[int]) -> list[tuple[Pixels, int, Problem | None]]:
        """Images and classes. If an image cannot be decoded, the next readable image replaces it, and there is a
        problem.

        Raises:
            ValueError: No image of the split can be decoded.
        """
        return [
            (image, label, problem) if image is not None else (*self._next(index), problem)
            for index, (image, label, problem) in zip(indices, self.read(indices), strict=True)
        ]

    def _next(self, index: int) -> tuple[Pixels, int]:
        for step in range(1, len(self)):
            image, label, _ = self.read([(index + step) % len(self)])[0]
            if image is not None:
                return image, label
        raise ValueError(f"none of the {len(self)} {self.name} images can be decoded")


def image_source(stored: dict[str, Any] | None) -> bytes | str:
    """An undecoded image's bytes, or its path.

    Raises:
        BadImageError: The cell is empty.
    """
    found: bytes | str | None = (
        None if stored is None else stored["path"] if stored["bytes"] is None else stored["bytes"]
    )
    if found is None:
        raise BadImageError("no image is stored (the cell is empty)")
    return found


def training_colours(split: LabelledImages) -> Colours:
    """Mean RGB (Sect. 2.1) and principal components (Krizhevsky's) of at most 10,000 training images.

    The moments of each image's pixels are averaged over the images, so large images have no more weight than small
    ones.
    """
    chosen = np.linspace(0, len(split) - 1, min(len(split), _COLOUR_IMAGES)).round().astype(int).tolist()
    means, squares = [], []
    with progress(len(chosen), desc="colours", delay=2, leave=False) as bar:
        for index in chosen:
            image = split.read_or_next([index])[0][0]
            pixels = image.reshape(-1, 3).astype(np.float64)
            means.append(pixels.mean(0))
            squares.append(pixels.T @ pixels / len(pixels))
            bar.update()
    mean = np.mean(means, axis=0)
    covariance = np.mean(squares, axis=0) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance / 255**2)
    values, vectors = values[::-1].clip(0) * 255, vectors[:, ::-1]
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), range(3)] < 0, -1, 1)  # the sign is arbitrary
    return Colours(
        mean=tuple(mean.tolist()),
        eigenvalues=tuple(values.tolist()),
        eigenvectors=tuple(map(tuple, vectors.tolist())),
    )
