"""Images and labels of a run: from the Hub, a folder, parquet or the bundled digits, as map-style sets.

Images are decoded where they are used, one at a time. One that cannot be decoded is never dropped in silence: in
training the next one that can takes its place, in testing it counts as an error; either way it is a `Problem`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from recipes.columns import MoreColumns, column_of, columns_of, names_in, with_classes
from recipes.image_table import UNLABELLED, Wanted
from recipes.loading import DataSource, as_source, load
from vgg_zoo.images import BadImageError, Pixels, read_pixels
from vgg_zoo.preprocessing import Colours

HELD_OUT = 0.2
"""Part of a data set without a validation split that is held out, the same images in every run."""

VALIDATION_NAMES = ("validation", "val", "valid", "test")
_COLOUR_IMAGES = 10_000


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
        class_names: In the order of the labels.
    """

    name: str
    rows: datasets.Dataset
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, index: int) -> Pixels:
        """The image, (H, W, 3), RGB in 0–255.

        Raises:
            BadImageError: It cannot be decoded.
        """
        return _decoded(self.rows[index]["image"])

    def label(self, index: int) -> int:
        """The class of the image at the same index."""
        return int(self.rows[index]["label"])

    def names(self, indices: range) -> list[str]:
        """Of each image: its path, as the data set tells it, or else its index."""
        stored = self.rows.with_format("arrow")[indices.start : indices.stop]["image"]  # no image is copied out
        paths = stored.combine_chunks().field("path").to_pylist()
        return [path or str(index) for index, path in zip(indices, paths, strict=True)]

    def read(self, indices: Sequence[int]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """Images, or None and the problem where one cannot be decoded, and their classes."""
        return self._decode(indices, self.rows[list(indices)])

    def _decode(self, indices: Sequence[int], rows: dict[str, Any]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """As `read`, of rows that are there already."""
        found: list[tuple[Pixels | None, int, Problem | None]] = []
        for index, stored, label in zip(indices, rows["image"], rows["label"], strict=True):
            try:
                found.append((_decoded(stored), label, None))
            except BadImageError as error:
                found.append((None, label, Problem(self.name, index, stored["path"] or "", str(error))))
        return found

    def read_or_next(self, indices: Sequence[int]) -> list[tuple[Pixels, int, Problem | None]]:
        """Images and classes; where an image cannot be decoded, those of the next index that can, and the problem.

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


def image_source(stored: dict[str, Any]) -> bytes | str:
    """An undecoded image's bytes, or its path."""
    return stored["bytes"] if stored["bytes"] is not None else stored["path"]


def _decoded(stored: dict[str, Any]) -> Pixels:
    return read_pixels(image_source(stored))


def load_splits(source: str | DataSource) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation split of a data set.

    Raises:
        ValueError: Nothing there, no image or class column, an empty split, or a label that is no class; the message
            says what there is.
    """
    training, validation = rows_of_splits(as_source(source))
    names = tuple(training.features["label"].names)
    return LabelledImages("training", training, names), LabelledImages("validation", validation, names)


def load_test_split(source: str | DataSource, labelled: bool = True) -> LabelledImages:
    """The split that nets are tested on; a data set need not have any other.

    Args:
        source: Its `validation_split` is what is taken, else validation, val, valid or test, else the held-out fifth of
            the training images. Without labels: the named one, else test, else the only one.
        labelled: False takes the images alone, each with the label `UNLABELLED`.

    Raises:
        ValueError: As `load_splits` does.
    """
    source = as_source(source)
    if labelled:
        rows = rows_of_test(source)
        return LabelledImages("validation", rows, tuple(rows.features["label"].names))
    loaded = _load_named(source)
    name = source.validation_split or ("test" if len(loaded) > 1 else next(iter(loaded)))
    return _without_labels(source, _named(source, loaded, name))


def rows_of_splits(source: DataSource, more: MoreColumns | None = None) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Training and validation rows: "image", undecoded, "label", a `ClassLabel`, and more columns.

    Args:
        source: As in `load_splits`.
        more: Boxes, for example. With it, images may have the label `UNLABELLED`, if not all do.

    Raises:
        ValueError: As `load_splits` does.
    """
    loaded = _load_named(source, source.training_split, boxes=lambda split: more is not None)
    columns = columns_of(source, loaded[source.training_split].features)
    rows = _with_more(source, "training", loaded[source.training_split], columns, None, more)
    validation = _validation_name(source, loaded)
    if validation is None:
        return _held_out(rows)
    names = rows.features["label"].names
    return rows, _with_more(source, "validation", loaded[validation], columns, names, more)


def rows_of_test(source: DataSource, more: MoreColumns | None = None) -> datasets.Dataset:
    """The rows of the split that nets are tested on, as `rows_of_splits` gives them; raises as it does."""
    tested = (*VALIDATION_NAMES, source.validation_split)  # half a million annotations for training are not read
    loaded = _load_named(source, boxes=lambda split: more is not None and split in tested)
    validation = _validation_name(source, loaded)
    if validation is None:
        return rows_of_splits(source, more)[1]
    columns = columns_of(source, loaded[validation].features)
    names = None
    if source.training_split in loaded and source.training_split != validation:  # its labels name the classes
        training = loaded[source.training_split]
        names = with_classes(source, "training", training, columns, unlabelled=more is not None).features["label"].names
    return _with_more(source, "validation", loaded[validation], columns, names, more)


def _with_more(
    source: DataSource,
    name: str,
    rows: datasets.Dataset,
    columns: tuple[str, str],
    names: Sequence[str] | None,
    more: MoreColumns | None,
) -> datasets.Dataset:
    """As `with_classes`, with more columns."""
    found = with_classes(source, name, rows, columns, names, unlabelled=more is not None)
    return found if more is None else datasets.concatenate_datasets([found, more(rows)], axis=1)


def _held_out(rows: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rows but for a fifth of each class, and that fifth; rows without a class stay."""
    labels = np.asarray(rows.with_format("numpy")["label"][:])
    classless = np.flatnonzero(labels == UNLABELLED)
    halves = (rows.select(np.flatnonzero(labels != UNLABELLED)) if len(classless) else rows).train_test_split(
        HELD_OUT, stratify_by_column="label", seed=0
    )
    if len(classless):
        halves["train"] = datasets.concatenate_datasets([halves["train"], rows.select(classless)])
    return halves["train"], halves["test"]


def _load_named(source: DataSource, *needed: str, boxes: Wanted = lambda split: False) -> datasets.DatasetDict:
    """All splits; those that the source or the caller names must be there."""
    loaded = load(source.spec, boxes)
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({source.training_split: loaded})
    for name in (*needed, source.validation_split):
        if name is not None:
            _named(source, loaded, name)
    return loaded


def _named(source: DataSource, loaded: datasets.DatasetDict, name: str) -> datasets.Dataset:
    if name not in loaded:
        raise ValueError(f"data set {source.spec!r} has no split named {name!r}; it has {', '.join(loaded)}")
    return loaded[name]


def _validation_name(source: DataSource, loaded: datasets.DatasetDict) -> str | None:
    return source.validation_split or next(
        (name for name in VALIDATION_NAMES if name in loaded and name != source.training_split), None
    )


def _without_labels(source: DataSource, rows: datasets.Dataset) -> LabelledImages:
    image = column_of(source, rows.features, source.image_column, datasets.Image, "--image-column")
    if len(rows) == 0:
        raise ValueError(f"data set {source.spec!r} has no images in the split")
    rows = rows.select_columns([image]).rename_columns({image: "image"})
    rows = rows.cast_column("image", datasets.Image(decode=False)).add_column("label", [UNLABELLED] * len(rows))
    return LabelledImages("unlabelled", rows, tuple(names_in(source.class_names)) if source.class_names else ())


def training_colours(split: LabelledImages) -> Colours:
    """Mean RGB (Sect. 2.1) and principal components (Krizhevsky's) of the training images, of 10,000 at the most.

    The moments are averages over images of those of each image's pixels, so that large images weigh no more than small
    ones.
    """
    chosen = np.linspace(0, len(split) - 1, min(len(split), _COLOUR_IMAGES)).round().astype(int).tolist()
    means, squares = [], []
    for index in chosen:
        image = split.read_or_next([index])[0][0]
        pixels = image.reshape(-1, 3).astype(np.float64)
        means.append(pixels.mean(0))
        squares.append(pixels.T @ pixels / len(pixels))
    mean = np.mean(means, axis=0)
    covariance = np.mean(squares, axis=0) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance / 255**2)
    values, vectors = values[::-1].clip(0) * 255, vectors[:, ::-1]
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), range(3)] < 0, -1, 1)  # the sign is arbitrary
    return Colours(mean=tuple(mean.tolist()), eigenvalues=tuple(values.tolist()), eigenvectors=_rows(vectors))


def _rows(matrix: np.ndarray[Any, Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
