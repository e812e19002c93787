"""Images and labels of a run: from the Hub, a folder, parquet or the bundled digits, as map-style sets.

Images are decoded where they are used, one at a time; augmentation is keyed by (seed, epoch, index), so that it does
not depend on how many workers or processes there are.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from recipes.recipe import Recipe
from vgg_zoo.preprocessing import centre_crop, rescale, to_pixels, training_crop

HELD_OUT = 0.2
"""Part of a data set without a validation split that is held out, the same images in every run."""

_VALIDATION_NAMES = ("validation", "val", "valid", "test")
_MEAN_IMAGES = 10_000


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """A split: images and the number of their class.

    Attributes:
        rows: The columns "image" (undecoded) and "label".
        class_names: In the order of the labels.
    """

    rows: datasets.Dataset
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Image.Image:
        """The image as RGB."""
        stored = self.rows[index]["image"]
        source = io.BytesIO(stored["bytes"]) if stored["bytes"] is not None else stored["path"]
        with Image.open(source) as image:
            return image.convert("RGB")

    def label(self, index: int) -> int:
        """The class of the image at the same index."""
        return int(self.rows[index]["label"])


def load_splits(spec: str) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation split of a data set.

    Args:
        spec: "digits" (bundled with scikit-learn), or what `datasets.load_dataset` takes: a Hub id, a folder of images
            with a folder for each class, a parquet file or a folder of them; or a folder of `save_to_disk`. Without a
            split named validation, val, valid or test, a fifth of each class is held out.

    Raises:
        ValueError: Nothing there, no image or class column, or an empty split; the message says what there is.
    """
    loaded = _load(spec)
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict(train=loaded)
    if "train" not in loaded:
        raise ValueError(f"data set {spec!r} has no split named 'train'; it has {', '.join(loaded)}")
    image, label = _columns(spec, loaded["train"].features)
    names = tuple(loaded["train"].features[label].names)
    validation = next((name for name in _VALIDATION_NAMES if name in loaded), None)
    if validation is None:
        halves = loaded["train"].train_test_split(HELD_OUT, stratify_by_column=label, seed=0)
        train, held_out = halves["train"], halves["test"]
    else:
        train, held_out = loaded["train"], loaded[validation]
    return _split(spec, train, image, label, names), _split(spec, held_out, image, label, names)


def _split(spec: str, rows: datasets.Dataset, image: str, label: str, names: tuple[str, ...]) -> LabelledImages:
    if len(rows) == 0:
        raise ValueError(f"data set {spec!r} has an empty split")
    undecoded = rows.select_columns([image, label]).rename_columns({image: "image", label: "label"})
    return LabelledImages(undecoded.cast_column("image", datasets.Image(decode=False)), names)


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


def _columns(spec: str, features: datasets.Features) -> tuple[str, str]:
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not images or not labels:
        columns = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in features.items())
        raise ValueError(
            f"data set {spec!r} needs a column of type Image and one of type ClassLabel; it has {columns}. In a folder "
            "of images every class has a folder of its own"
        )
    return images[0], labels[0]


def training_mean(split: LabelledImages) -> tuple[float, float, float]:
    """Mean RGB in 0–255 of the training images (Sect. 2.1): the average of their own means, of 10,000 at the most."""
    chosen = np.linspace(0, len(split) - 1, min(len(split), _MEAN_IMAGES)).round().astype(int)
    means = [np.asarray(split.image(int(index)), dtype=np.float64).mean((0, 1)) for index in chosen]
    red, green, blue = np.mean(means, axis=0).tolist()
    return red, green, blue


@dataclass
class TrainingCrops(Dataset[tuple[Tensor, int]]):
    """Random crops; an item is asked for by (epoch, index), and that key alone decides the crop."""

    split: LabelledImages
    recipe: Recipe

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        generator = np.random.Generator(np.random.Philox(key=self.recipe.seed, counter=[0, 0, epoch, index]))
        recipe = self.recipe
        crop = training_crop(self.split.image(index), recipe.train_scales, recipe.crop_size, recipe.flip, generator)
        return to_pixels(crop), self.split.label(index)


@dataclass
class EvaluationImages(Dataset[tuple[Tensor, int]]):
    """Images as they are tested: a centre crop of `crop_size` pixels, or, without one, whole at smallest side Q."""

    split: LabelledImages
    scale: int
    crop_size: int | None

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.split.image(index)
        side = self.crop_size
        tested = rescale(image, self.scale) if side is None else centre_crop(image, self.scale, side)
        return to_pixels(tested), self.split.label(index)


class GlobalBatches(Sampler[list[tuple[int, int]]]):
    """One process's share of every global batch, in an order that depends on (seed, epoch) alone.

    Each epoch is a permutation of the images, cut into batches; the incomplete last one is left out, another one in
    every epoch. Process r of n takes a contiguous share of each batch, the first ones one image more where n does not
    divide the batch.

    Args:
        images: Size of the training set.
        batch_size: Of the global batch.
        seed: Of the permutations.
        rank: This process, from 0.
        world: Number of processes.

    Raises:
        ValueError: A batch larger than the set, or fewer images in a batch than processes.
    """

    def __init__(self, images: int, batch_size: int, seed: int, rank: int, world: int) -> None:
        if batch_size > images:
            raise ValueError(f"batch_size {batch_size} is larger than the training set of {images} images")
        if batch_size < world:
            raise ValueError(f"batch_size {batch_size} gives {world} processes no image each; start fewer processes")
        self.images, self.batch_size, self.seed = images, batch_size, seed
        bounds = np.linspace(0, batch_size, world + 1).round().astype(int)
        self.share = slice(int(bounds[rank]), int(bounds[rank + 1]))
        self.epoch = 0

    def __len__(self) -> int:
        return self.images // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 1, self.epoch, 0]))
        order = generator.permutation(self.images)
        for step in range(len(self)):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in batch[self.share]]


def training_loader(split: LabelledImages, recipe: Recipe, batches: GlobalBatches, workers: int) -> DataLoader[Any]:
    """This process's share of every batch: ((b, 3, crop, crop) uint8, (b,) labels)."""
    return DataLoader(
        TrainingCrops(split, recipe), batch_sampler=batches, num_workers=workers, pin_memory=torch.cuda.is_available()
    )


def evaluation_batches(images: EvaluationImages, rank: int, world: int, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's images, each exactly once, in batches of one shape and at most `most` images."""
    pixels: list[Tensor] = []
    labels: list[int] = []
    for index in range(rank, len(images.split), world):
        image, label = images[index]
        if pixels and (image.shape != pixels[0].shape or len(pixels) == most):
            yield torch.stack(pixels), torch.tensor(labels)
            pixels, labels = [], []
        pixels.append(image)
        labels.append(label)
    if pixels:
        yield torch.stack(pixels), torch.tensor(labels)
