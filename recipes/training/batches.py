"""Global batches of training images, shared among the processes (Sect. 3.1).

Order and augmentation are keyed by (seed, epoch, index), so they do not depend on the number of workers or processes,
or on where a run was interrupted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from recipes.data.images import LabelledImages, Problem
from recipes.recipe import Recipe
from vgg_zoo.devices import constant, constant_like
from vgg_zoo.images.preprocessing import Colours, colour_shifts, jitter_colours, resized_crop, training_crop


class Batch(NamedTuple):
    """Images of one shape.

    Attributes:
        pixels: (b, 3, H, W), uint8.
        labels: (b,).
        colours: (b, 6): three draws of N(0, 1), for the colour shift, and three from [-1, 1], for the jitter.
        boxes: (b, 4), the targets of a net that predicts boxes (`vgg_zoo.boxes.frame`); (b, 0) for a classifier.
        problems: Images that could not be used, and were replaced.
    """

    pixels: Tensor
    labels: Tensor
    colours: Tensor
    boxes: Tensor
    problems: list[Problem]

    def piece(self, rows: slice, device: torch.device) -> "Batch":
        """Select some of the images, on a device."""
        pixels, labels, colours, boxes = (x[rows].to(device, non_blocking=True) for x in self[:4])
        return Batch(pixels, labels, colours, boxes, [])


class Item(NamedTuple):
    """One image of a batch; its fields are rows of the fields of `Batch`."""

    pixels: Tensor
    label: int
    colours: Tensor
    box: Tensor
    problem: Problem | None


class GlobalBatches(Sampler[list[tuple[int, int]]]):
    """One process's share of every global batch, in an order that depends only on (seed, epoch).

    Each epoch is a permutation of the images, divided into batches. The incomplete last batch is left out; it has
    different images in every epoch. Process r of n takes a contiguous share of each batch. If n does not divide the
    batch, the first processes take one image more.

    Args:
        images: Size of the training set.
        batch_size: Size of the global batch.
        seed: Seed of the permutations.
        rank: This process, from 0.
        world: Number of processes.

    Attributes:
        epoch: The epoch of the next batches, from 0.
        consumed: Number of finished batches of this epoch; iteration begins after them.

    Raises:
        ValueError: A batch is larger than the set, or has fewer images than there are processes.
    """

    def __init__(self, images: int, batch_size: int, seed: int, rank: int, world: int) -> None:
        check_batch_size(batch_size, images)
        if batch_size < world:
            raise ValueError(f"batch_size {batch_size} gives {world} processes no image each; start fewer processes")
        self.images, self.batch_size, self.seed = images, batch_size, seed
        bounds = np.linspace(0, batch_size, world + 1).round().astype(int)
        self.share = slice(int(bounds[rank]), int(bounds[rank + 1]))
        self.epoch = self.consumed = 0

    @property
    def in_epoch(self) -> int:
        """Number of batches of a whole epoch."""
        return self.images // self.batch_size

    def __len__(self) -> int:
        return self.in_epoch - self.consumed

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 1, self.epoch, 0]))
        order = generator.permutation(self.images)
        epoch = self.epoch
        for step in range(self.consumed, self.in_epoch):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield [(epoch, int(index)) for index in batch[self.share]]


def check_batch_size(batch_size: int, images: int) -> None:
    """Check that a training set of this many images has a batch; raises `ValueError`."""
    if batch_size > images:
        raise ValueError(
            f"batch_size {batch_size} is larger than the training set of {images} images; take at most {images}: --set "
            f"batch_size={max(1, images // 4)}, or fit_batch=true for a quarter of the images"
        )


@dataclass
class TrainingCrops(Dataset[Any]):
    """Random crops; the key of an item is (epoch, index), and its crop and colours depend only on this key."""

    split: LabelledImages
    recipe: Recipe

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Item]:
        items, recipe = [], self.recipe
        found = self.split.read_or_next([index for _, index in keys])
        for key, (image, label, problem) in zip(keys, found, strict=True):
            generator, colours = draws(recipe.seed, key)
            if recipe.crop == "resized":
                crop = resized_crop(image, recipe.crop_size, recipe.flip, generator)
            else:
                crop = training_crop(image, recipe.train_scales, recipe.crop_size, recipe.flip, generator)
            items.append(Item(crop, label, colours, torch.zeros(0), problem))
        return items


def draws(seed: int, key: tuple[int, int]) -> tuple[np.random.Generator, Tensor]:
    """The random generator for the crop of (epoch, index), and six random draws for its colours."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, *key]))
    return generator, torch.from_numpy(np.concatenate([generator.standard_normal(3), generator.uniform(-1, 1, 3)]))


def collated(items: Sequence[Item]) -> Batch:
    """The items as a batch."""
    pixels, labels, colours, boxes, problems = zip(*items, strict=True)
    found = [problem for problem in problems if problem is not None]
    return Batch(torch.stack(pixels), torch.tensor(labels), torch.stack(colours), torch.stack(boxes), found)


def training_images(batch: Batch, recipe: Recipe, colours: Colours, dtype: torch.dtype) -> Tensor:
    """The net's input, computed on the device of `batch.pixels`: colours are jittered or shifted, the mean is
    subtracted, and the result is divided by the deviation if there is one.

    Returns:
        (b, 3, crop, crop) of `dtype`.
    """
    images, draws = batch.pixels.to(dtype), batch.colours.to(dtype)
    if recipe.colour_jitter:
        images = jitter_colours(images, 1 + recipe.colour_jitter * draws[:, 3:])
    offsets = colour_shifts(recipe.colour_shift * draws[:, :3], colours) - constant(draws, colours.mean)
    images = images.add_(offsets[:, :, None, None])
    return images.div_(constant_like(images, colours.deviation)) if colours.divides else images
