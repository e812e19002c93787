"""Caltech-101's and Caltech-256's own folders, one for each class, and the paper's random splits (Appendix B)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.features.samples import Numbers, Samples, Split, one_hot
from vgg_zoo.images.decoding import Pixels, read_pixels

SPLITS = 3
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caltech:
    """One of the two data sets.

    Attributes:
        title: Name for messages.
        folder: Its name of the folder with the classes.
        classes: Number of classes, including the background.
        background: The folder of images of no class, which counts as a class in the paper.
        training: Training images per class.
        test: Maximum test images per class; None takes all others.
        source: Where to get the data set.
    """

    title: str
    folder: str
    classes: int
    background: str
    training: int
    test: int | None
    source: str

    def samples(self, data: Path, seed: int = 0) -> Samples:
        """All images by class and name, and three random splits.

        Args:
            data: The folder with the classes, or its parent folder.
            seed: Seed of the splits.

        Raises:
            ValueError: The folder does not exist, or a class has too few images.
        """
        root = self._find(data)
        files_of = {folder.name: image_files(folder) for folder in sorted(root.iterdir()) if _is_class(folder)}
        for name, files in files_of.items():
            if len(files) <= self.training:
                raise ValueError(
                    f"{root / name} has {len(files)} images; {self.title} needs more than {self.training} of each "
                    f"class, {self.training} to train on and at least one for the test. Is {root} complete?"
                )
        files = [file for found in files_of.values() for file in found]
        classes = np.repeat(np.arange(len(files_of)), [len(found) for found in files_of.values()])

        def read(index: int) -> Pixels:
            return read_pixels(files[index])

        names = [f"{file.parent.name}/{file.name}" for file in files]
        return Samples(
            names=names,
            images=names,
            class_names=tuple(files_of),
            labels=one_hot(classes, len(files_of)),
            read=read,
            splits=tuple(self.split(classes, seed, number) for number in range(SPLITS)),
        )

    def split(self, classes: Numbers, seed: int, number: int) -> Split:
        """One random split with fixed numbers of training and test images of each class.

        Args:
            classes: (N,), class of each image.
            seed: Seed of all splits.
            number: Number of this split.
        """
        generator = np.random.default_rng([seed, number])
        training, test = [], []
        for one in np.unique(classes):
            order = generator.permutation(np.flatnonzero(classes == one))
            training.append(order[: self.training])
            rest = order[self.training :]
            test.append(rest if self.test is None else rest[: self.test])
        return Split(np.sort(np.concatenate(training)), np.sort(np.concatenate(test)))

    def _find(self, data: Path) -> Path:
        nested = sorted(data.glob(f"*/{self.folder}"))
        itself = [data] if data.resolve().name == self.folder or (data / self.background).is_dir() else []
        for folder in (data / self.folder, *nested, *itself):
            if folder.is_dir() and any(_is_class(inner) for inner in folder.iterdir()):
                return folder
        raise ValueError(
            f"{data} holds no {self.title}: expected {data / self.folder} with a folder of images for each of its "
            f"{self.classes} classes ({self.background} among them); it comes from {self.source}"
        )


def image_files(folder: Path) -> list[Path]:
    """Image files by name, without other files (Caltech-256 has a RENAME2) and hidden files."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def _is_class(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".") and bool(image_files(folder))


CALTECH_101 = Caltech(
    title="Caltech-101",
    folder="101_ObjectCategories",
    classes=102,
    background="BACKGROUND_Google",
    training=30,
    test=50,
    source="data.caltech.edu/records/mzrjq-6wc02 (caltech-101.zip, and 101_ObjectCategories.tar.gz in it)",
)
CALTECH_256 = Caltech(
    title="Caltech-256",
    folder="256_ObjectCategories",
    classes=257,
    background="257.clutter",
    training=60,
    test=None,
    source="data.caltech.edu/records/nyy15-4j048 (256_ObjectCategories.tar)",
)
