"""Images and labels of a run: from the Hub, a folder, parquet or the bundled digits, as map-style sets.

Images are decoded where they are used, one at a time. One that cannot be decoded is never dropped in silence: in
training the next one that can takes its place, in testing it counts as an error; either way it is a `Problem`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from vgg_zoo.images import BadImageError, Pixels, read_pixels
from vgg_zoo.preprocessing import Colours

HELD_OUT = 0.2
"""Part of a data set without a validation split that is held out, the same images in every run."""

UNLABELLED = -1
"""Label of an image whose class nobody tells, as ILSVRC's test images."""

VALIDATION_NAMES = ("validation", "val", "valid", "test")
_COLOUR_IMAGES = 10_000


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """An image that could not be decoded."""

    split: str
    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.split} image {self.index} {self.name}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSource:
    """Where the images are, and how to find them in there.

    Attributes:
        spec: "digits" (bundled with scikit-learn), or what `datasets.load_dataset` takes: a Hub id, a folder of images
            with a folder for each class, a parquet file or a folder of them; or a folder of `save_to_disk`.
        image_column: None takes the first column of type Image.
        label_column: None takes the first column of type ClassLabel; a named one may also hold numbers or texts.
        training_split: Its name.
        validation_split: None takes validation, val, valid or test; where there is none, a fifth of each class is held
            out of the training images.
        class_names: File with one name a line, in the order of the labels; None takes the names of the label column.
    """

    spec: str
    image_column: str | None = None
    label_column: str | None = None
    training_split: str = "train"
    validation_split: str | None = None
    class_names: Path | None = None


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
        rows = self.rows[list(indices)]
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


def _decoded(stored: dict[str, Any]) -> Pixels:
    return read_pixels(stored["bytes"] if stored["bytes"] is not None else stored["path"])


def load_splits(source: str | DataSource) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation split of a data set.

    Raises:
        ValueError: Nothing there, no image or class column, an empty split, or a label that is no class; the message
            says what there is.
    """
    if isinstance(source, str):
        source = DataSource(spec=source)
    loaded = _load_named(source, source.training_split)
    columns = _columns(source, loaded[source.training_split].features)
    rows = _with_classes(source, "training", loaded[source.training_split], columns)
    names = tuple(rows.features["label"].names)
    validation = _validation_name(source, loaded)
    if validation is None:
        halves = rows.train_test_split(HELD_OUT, stratify_by_column="label", seed=0)
        rows, held_out = halves["train"], halves["test"]
    else:
        held_out = _with_classes(source, "validation", loaded[validation], columns, names)
    return LabelledImages("training", rows, names), LabelledImages("validation", held_out, names)


def load_test_split(source: str | DataSource, labelled: bool = True) -> LabelledImages:
    """The split that nets are tested on; a data set need not have any other.

    Args:
        source: Its `validation_split` is what is taken, else validation, val, valid or test, else the held-out fifth of
            the training images. Without labels: the named one, else test, else the only one.
        labelled: False takes the images alone, each with the label `UNLABELLED`.

    Raises:
        ValueError: As `load_splits` does.
    """
    if isinstance(source, str):
        source = DataSource(spec=source)
    loaded = _load_named(source)
    if not labelled:
        name = source.validation_split or ("test" if len(loaded) > 1 else next(iter(loaded)))
        return _without_labels(source, _named(source, loaded, name))
    validation = _validation_name(source, loaded)
    if validation is None:
        return load_splits(source)[1]
    columns = _columns(source, loaded[validation].features)
    names = None
    if source.training_split in loaded and source.training_split != validation:  # its labels name the classes
        names = _with_classes(source, "training", loaded[source.training_split], columns).features["label"].names
    rows = _with_classes(source, "validation", loaded[validation], columns, names)
    return LabelledImages("validation", rows, tuple(rows.features["label"].names))


def _load_named(source: DataSource, *needed: str) -> datasets.DatasetDict:
    """All splits; those that the source or the caller names must be there."""
    loaded = _load(source.spec)
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
    image = _column(source, rows.features, source.image_column, datasets.Image, "--image-column")
    if len(rows) == 0:
        raise ValueError(f"data set {source.spec!r} has no images in the split")
    rows = rows.select_columns([image]).rename_columns({image: "image"})
    rows = rows.cast_column("image", datasets.Image(decode=False)).add_column("label", [UNLABELLED] * len(rows))
    return LabelledImages("unlabelled", rows, tuple(_names_in(source.class_names)) if source.class_names else ())


def _with_classes(
    source: DataSource, name: str, rows: datasets.Dataset, columns: tuple[str, str], names: Sequence[str] | None = None
) -> datasets.Dataset:
    """The two columns as "image", undecoded, and "label", a class; every label is checked to be one."""
    image, label = columns
    if len(rows) == 0:
        raise ValueError(f"data set {source.spec!r} has no {name} images")
    rows = rows.select_columns([image, label]).rename_columns({image: "image", label: "label"})
    rows = rows.cast_column("image", datasets.Image(decode=False))
    kind = rows.features["label"]
    if source.class_names is not None:
        names = _names_in(source.class_names)
    elif names is None:
        names = kind.names if isinstance(kind, datasets.ClassLabel) else _names_of(rows["label"])
    if isinstance(kind, datasets.ClassLabel):
        rows = rows.cast_column("label", datasets.Value("int64"))  # numbers stay; a cast to other names would not
    labels = rows.with_format("numpy")["label"][:]
    classes = set(names) if labels.dtype.kind in "OU" else range(len(names))
    wrong = [place for place, value in enumerate(labels.tolist()) if value not in classes]
    if wrong:
        raise ValueError(
            f"data set {source.spec!r}: {len(wrong)} of {len(rows)} {name} labels are none of the {len(names)} "
            f"classes; the first is {labels[wrong[0]]!r}, of image {wrong[0]}. Is the split unlabelled?"
        )
    return rows.cast_column("label", datasets.ClassLabel(names=list(names)))


def _names_of(labels: Sequence[Any]) -> list[str]:
    """Names of the classes in a column without any: its texts in order, or the numbers from 0."""
    found = {label for label in labels if label is not None}
    if all(isinstance(label, int) for label in found):
        return [str(label) for label in range(max(found, default=0) + 1)]
    return sorted(map(str, found))


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"no file of class names {str(path)!r}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _load(spec: str) -> Any:
    if spec == "digits":
        return _digits()
    path = Path(spec)
    if path.suffix == ".parquet":
        return datasets.load_dataset("parquet", data_files=spec)
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        return datasets.load_from_disk(spec)
    try:
        return datasets.load_dataset(spec)
    except (FileNotFoundError, ConnectionError, OSError) as error:
        raise ValueError(
            f"cannot load the data set {spec!r} ({type(error).__name__}: {error}). Give 'digits', a folder with a "
            "folder of images for each class, a parquet file, or the id of a data set on the Hub (and be online)"
        ) from error


def _digits() -> datasets.Dataset:
    from sklearn.datasets import load_digits  # an extra that only this set needs

    digits = load_digits()
    images = [Image.fromarray((image * (255 / 16)).astype(np.uint8)) for image in digits.images]
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list("0123456789")))
    return datasets.Dataset.from_dict({"image": images, "label": digits.target.tolist()}, features=features)


def _columns(source: DataSource, features: datasets.Features) -> tuple[str, str]:
    return (
        _column(source, features, source.image_column, datasets.Image, "--image-column"),
        _column(source, features, source.label_column, datasets.ClassLabel, "--label-column"),
    )


def _column(source: DataSource, features: datasets.Features, named: str | None, kind: type, flag: str) -> str:
    """The column of that name, or else the first of that type."""
    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    if named is not None and named not in features:
        raise ValueError(f"data set {source.spec!r} has no column {named!r} ({flag}); it has {columns}")
    of_kind = [named] if named else [name for name, feature in features.items() if isinstance(feature, kind)]
    if not of_kind:
        raise ValueError(
            f"data set {source.spec!r} needs a column of type Image and one of type ClassLabel; it has {columns}. "
            f"Name one with {flag}; in a folder of images every class has a folder of its own"
        )
    return of_kind[0]


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
