"""Error rates of a net on a split; each image counts exactly once, whatever the number of processes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from statistics import NormalDist
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Dataset

from recipes.data.images import UNLABELLED, LabelledImages, Problem
from recipes.runtime.loader import EachOf
from recipes.runtime.look import progress
from recipes.runtime.processes import greatest
from recipes.runtime.signals import STOP, StoppedError
from vgg_zoo.images.preprocessing import centre_crop, rescale

BATCH = 64
"""Images of one shape that go through the net at once, in each process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """A protocol for testing an image.

    Attributes:
        name: "single crop" or "dense".
        scale: Q, the smallest side in pixels that the image is rescaled to.
        crop_size: Side of the centre crop in pixels; None tests the whole image densely (Sect. 3.2).
        flip: Average the posteriors with those of the mirrored image.
    """

    name: str
    scale: int
    crop_size: int | None
    flip: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRates:
    """Top-1 and top-5 error of `images` images (Sect. 4), from 0 to 1."""

    top1: float
    top5: float
    images: int

    def with_intervals(self) -> dict[str, Any]:
        """The rates as plain data, with the 95% interval of each error."""
        return asdict(self) | {
            "top1_interval": list(wilson_interval(self.top1, self.images)),
            "top5_interval": list(wilson_interval(self.top5, self.images)),
        }


def wilson_interval(rate: float, images: int) -> tuple[float, float]:
    """The 95% interval (Wilson's score) for the true rate, from the rate among this many images."""
    z = NormalDist().inv_cdf(0.975)
    middle = (rate + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * math.sqrt(rate * (1 - rate) / images + (z / (2 * images)) ** 2) / (1 + z**2 / images)
    return (middle - half if rate > 0 else 0.0), (middle + half if rate < 1 else 1.0)


def rate_in_words(results: Mapping[str, Any], name: str) -> str:
    """A rate of results.json, whose interval stands beside it, in percent."""
    low, high = results[f"{name}_interval"]
    return f"{results[name]:.2%} (95% interval {low:.2%} to {high:.2%})"


@torch.inference_mode()
def posteriors(model: nn.Module, images: Tensor, flip: bool = True) -> Tensor:
    """Class posteriors of whole images or crops, averaged with those of the mirrored images.

    Args:
        model: A net of the zoo in eval mode; `model(images)` averages its class score map over positions.
        images: (B, 3, H, W), as the net takes them.
        flip: Average the soft-max posteriors of the original and the flipped images.

    Returns:
        (B, num_classes); rows sum to 1.
    """
    scores = model(images).softmax(1)
    return (scores + model(images.flip(-1)).softmax(1)) / 2 if flip else scores


def wrong_guesses(posteriors: Tensor, labels: Tensor) -> Tensor:
    """Which images are wrong at top-1 and at top-5.

    Args:
        posteriors: (N, classes); a row with NaN is wrong.
        labels: (N,); a label that is no class is wrong.

    Returns:
        (N, 2), bool.
    """
    right = posteriors.topk(min(5, posteriors.shape[1])).indices == labels[:, None]
    right &= ~posteriors.isnan().any(1, keepdim=True)
    return ~torch.stack([right[:, 0], right.any(1)], 1)


class TestedImage(NamedTuple):
    """An image on its way to the net.

    Attributes:
        pixels: (3, H, W), uint8; black if the image could not be decoded.
        label: Its class; `UNLABELLED`, which always counts as wrong, if it could not be decoded.
        problem: Why it could not be decoded.
    """

    pixels: Tensor
    label: int
    problem: Problem | None


@dataclass
class EvaluationImages(Dataset[Any]):
    """Test images: a centre crop of `crop_size` pixels, or without it the whole image with smallest side Q."""

    split: LabelledImages
    scale: int
    crop_size: int | None

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> TestedImage:
        image, label, problem = self.split.read([index])[0]
        side = self.crop_size
        if image is None:
            side = side or self.scale
            return TestedImage(torch.zeros(3, side, side, dtype=torch.uint8), UNLABELLED, problem)
        tested = rescale(image, self.scale) if side is None else centre_crop(image, self.scale, side)
        return TestedImage(tested, label, None)


def error_rates(
    model: nn.Module,
    share: EachOf,
    protocol: Protocol,
    prepare: Callable[[Tensor], Tensor],
    accelerator: Accelerator,
) -> tuple[ErrorRates, list[Problem]]:
    """Test a net on every image of a split, each process on its share.

    Args:
        model: A net on the accelerator's device; it is put in eval mode, and then back into its mode.
        share: This process's part of `EvaluationImages`.
        protocol: The protocol of the test.
        prepare: A function from (b, 3, H, W) of uint8 to the net's input, on its device.
        accelerator: Adds up the counts of the processes.

    Returns:
        The error rates, and this process's images that could not be decoded; each counts as an error.
    """

    def wrong(items: list[TestedImage]) -> Tensor:
        images = prepare(torch.stack([item.pixels for item in items]))
        labels = torch.tensor([item.label for item in items], device=images.device)
        return wrong_guesses(posteriors(model, images, protocol.flip), labels)

    (wrong1, wrong5), images, problems = totals(model, share, wrong, 2, accelerator)
    return ErrorRates(top1=wrong1 / images, top5=wrong5 / images, images=images), problems


def totals(
    model: nn.Module,
    share: EachOf,
    measure: Callable[[list[Any]], Tensor],
    columns: int,
    accelerator: Accelerator,
) -> tuple[list[float], int, list[Problem]]:
    """Test a net on every image, each process on its share.

    Args:
        model: A net; it is put in eval mode, and then back into its mode.
        share: This process's part of a dataset, whose items have `pixels`, (3, H, W), and `problem`.
        measure: A function from items with pixels of one shape to (b, columns) numbers, a row for each.
        columns: Number of columns.
        accelerator: Adds up the sums of the processes.

    Returns:
        The sum of each column over all images, the number of images, and this process's problems.

    Raises:
        StoppedError: A signal asked a process to stop, in all of them after the same batch.
        RuntimeError: A process lost or repeated an image.
    """
    was_training = model.training
    model.eval()
    sums, problems = torch.zeros(columns + 1, dtype=torch.float64), []
    images: Any = share.images
    try:
        with progress(len(share.order), accelerator.is_main_process, desc="test", delay=2, leave=False) as bar:
            for items in in_step(accelerator, in_batches(share, BATCH)):
                rows = measure(items).cpu().double()
                sums += torch.cat([rows.sum(0), rows.new_tensor([len(rows)])])
                problems += [item.problem for item in items if item.problem is not None]
                bar.update(len(items))
    finally:
        model.train(was_training)
    kind = torch.float32 if accelerator.device.type == "mps" else torch.float64
    *values, count = accelerator.reduce(sums.to(accelerator.device, kind), "sum").tolist()
    if count != len(images):
        raise RuntimeError(f"tested {count:.0f} images of a split of {len(images)}: a process lost or repeated some")
    return values, len(images), problems


def in_step(accelerator: Accelerator, batches: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """This process's batches; before each batch, all processes agree whether to stop. Processes may have fewer batches.

    Raises:
        StoppedError: A signal asked a process to stop.
    """
    while True:
        batch = next(batches, None)
        code, left = greatest(accelerator, STOP.code, batch is not None)
        if code:
            STOP.code = code  # perhaps that of another process; later signals of a launcher have no effect
            raise StoppedError(code)
        if not left:
            return
        if batch is not None:
            yield batch


def in_batches(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Groups of consecutive items with `pixels` of one shape, at most `most` in each."""
    for _, run in groupby(items, key=lambda item: item.pixels.shape):
        while batch := list(islice(run, most)):
            yield batch


def share_of(images: Any, rank: int, world: int, workers: int = 0) -> EachOf:
    """A process's part of the images; the parts of all processes contain each image exactly once."""
    return EachOf(images, range(rank, len(images), world), workers)
