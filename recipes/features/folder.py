"""The folder of recipes/extract_features.py and its reader: descriptors of a split's images, in order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from recipes.data.images import Problem
from recipes.evaluation.store import ReadImage, RescaledImages, Rows, Store
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.results import images_of, read_results, reading

KEPT = "features"
"""The folder in an --output that holds descriptors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorRows(Rows):
    """Descriptors as they are stored.

    Attributes:
        descriptors: (N, D), float32; a row of NaN if the image could not be decoded.
        names: Name of each image.
    """

    descriptors: Tensor
    names: list[str]
    computed: ClassVar[str] = "descriptors"


def descriptor_store(folder: OutputFolder, images: int) -> Store[DescriptorRows]:
    """The store for the descriptors of this many images."""
    return Store(folder.path / KEPT, images, DescriptorRows)


@dataclass
class NamedImages(RescaledImages):
    """Images at every scale, with their names."""

    def __getitem__(self, index: int) -> ReadImage:
        (name,) = self.split.names(range(index, index + 1))
        return self.rescaled(*self.split.read([index])[0], names=name)


@dataclass(frozen=True, slots=True)
class Features:
    """Descriptors of the images of a split, in their order.

    Attributes:
        descriptors: (N, D), float32; a row of NaN if the image could not be decoded.
        labels: (N,), int64, the data set's classes; `recipes.data.images.UNLABELLED` if unknown.
        names: (N,), name of each image: its path in the data set, or else its index in the split.
        problems: The images that could not be decoded.
        settings: Content of results.json: "net" (model, configuration, weights_sha256, layer, scales, combine, flip,
            l2, ceil_mode), "data" (spec, split, classes, images, class_names, unreadable_images), "precision",
            "features" (D and the folder), versions, command.
    """

    descriptors: np.ndarray[Any, np.dtype[np.float32]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    names: list[str]
    problems: list[Problem]
    settings: dict[str, Any]

    def __len__(self) -> int:
        return len(self.labels)


def load_features(folder: str | Path) -> Features:
    """The features in an --output of recipes/extract_features.py.

    Raises:
        ValueError: It is not finished, damaged, or another kind of folder; the message says what to do.
    """
    settings = read_results(Path(folder), "features")
    with reading(Path(folder), "features"):
        images, classes = images_of(settings), settings["data"]["class_names"]
        if not isinstance(settings["net"], dict) or not all(isinstance(name, str) for name in classes):
            raise ValueError("net must be an object, and data.class_names a list of texts")
    rows = descriptor_store(OutputFolder(Path(folder)), images).read_all()
    return Features(rows.descriptors.numpy(), rows.labels.numpy(), rows.names, rows.problems, settings)
