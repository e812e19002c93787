"""Global batches of training images, shared among the processes (Sect. 3.1).

Order and augmentation are keyed by (seed, epoch, index), so that they do not depend on how many workers or processes
there are, nor on where a run was interrupted.
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
        boxes: (b, 4), what a net that predicts boxes learns (`vgg_zoo.boxes.frame`); (b, 0) for one that classifies.
        problems: Images that could not be used, and were replaced.
    """

    pixels: Tensor
    labels: Tensor
    colours: Tensor
    boxes: Tensor
    problems: list[Problem]

    def piece(self, rows: slice, device: torch.device) -> "Batch":
        """Some of the images, on a device."""
        pixels, labels, colours, boxes = (x[rows].to(device, non_blocking=True) for x in self[:4])
        return Batch(pixels, labels, colours, boxes, [])


class Item(NamedTuple):
    """One image of a batch; its fields are rows of those of `Batch`."""

    pixels: Tensor
    label: int
    colours: Tensor
    box: Tensor
    problem: Problem | None


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

    Attributes:
        epoch: Whose batches come next, from 0.
        consumed: How many batches of that epoch are over; iteration begins behind them.

    Raises:
        ValueError: A batch larger than the set, or fewer images in a batch than processes.
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
        """Batches of a whole epoch."""
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
    """A training set of so many images has a batch; raises `ValueError`."""
    if batch_size > images:
        raise ValueError(
            f"batch_size {batch_size} is larger than the training set of {images} images; take at most {images}: --set "
            f"batch_size={max(1, images // 4)}, or fit_batch=true for a quarter of the images"
        )


@dataclass
class TrainingCrops(Dataset[Any]):
    """Random crops; an item is asked for by (epoch, index), and that key alone decides the crop and its colours."""

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
    """The randomness of an image in an epoch, by (epoch, index): for its crop, and its six draws for colours."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, *key]))
    return generator, torch.from_numpy(np.concatenate([generator.standard_normal(3), generator.uniform(-1, 1, 3)]))


def collated(items: Sequence[Item]) -> Batch:
    """The items as a batch."""
    pixels, labels, colours, boxes, problems = zip(*items, strict=True)
    found = [problem for problem in problems if problem is not None]
    return Batch(torch.stack(pixels), torch.tensor(labels), torch.stack(colours), torch.stack(boxes), found)


def training_images(batch: Batch, recipe: Recipe, colours: Colours, dtype: torch.dtype) -> Tensor:
    """The net's input, computed where `batch.pixels` are: colours jittered or shifted, the mean
    subtracted, and the deviation divided by where there is one.

    Returns:
        (b, 3, crop, crop) of `dtype`.
    """
    images, draws = batch.pixels.to(dtype), batch.colours.to(dtype)
    if recipe.colour_jitter:
        images = jitter_colours(images, 1 + recipe.colour_jitter * draws[:, 3:])
    offsets = colour_shifts(recipe.colour_shift * draws[:, :3], colours) - constant(draws, colours.mean)
    images = images.add_(offsets[:, :, None, None])
    return images.div_(constant_like(images, colours.deviation)) if colours.divides else images
