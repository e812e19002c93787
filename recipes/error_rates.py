"""Error rates of a net on a split: each image counted exactly once, whatever the number of processes."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from recipes.batches import EvaluationImages, Item, collated
from recipes.data import LabelledImages, Problem
from recipes.totals import totals
from vgg_zoo.evaluation import posteriors
from vgg_zoo.preprocessing import subtract_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How an image is tested.

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

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95% interval of each, where the true rate of such images lies."""
        return {name: wilson_interval(getattr(self, name), self.images) for name in ("top1", "top5")}


def wilson_interval(rate: float, images: int) -> tuple[float, float]:
    """The 95% interval of a rate among so many images, by Wilson's score."""
    z = NormalDist().inv_cdf(0.975)
    middle = (rate + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * math.sqrt(rate * (1 - rate) / images + (z / (2 * images)) ** 2) / (1 + z**2 / images)
    return (middle - half if rate > 0 else 0.0), (middle + half if rate < 1 else 1.0)


def mistakes(posteriors: Tensor, labels: Tensor) -> Tensor:
    """Which images are wrong at top-1 and at top-5.

    Args:
        posteriors: (N, classes); a row that holds NaN is wrong.
        labels: (N,); one that is no class is wrong.

    Returns:
        (N, 2), bool.
    """
    right = posteriors.topk(min(5, posteriors.shape[1])).indices == labels[:, None]
    right &= ~posteriors.isnan().any(1, keepdim=True)
    return ~torch.stack([right[:, 0], right.any(1)], 1)


def error_rates(
    model: nn.Module,
    split: LabelledImages,
    protocol: Protocol,
    mean: tuple[float, ...],
    accelerator: Accelerator,
    workers: int = 0,
) -> tuple[ErrorRates, list[Problem]]:
    """Test a net on every image of a split, each process on its share.

    Args:
        model: On the accelerator's device; put in eval mode, and back as it was.
        split: Images and labels.
        protocol: How each image is tested.
        mean: RGB in 0–255 to subtract.
        accelerator: Adds up the counts of the processes.
        workers: Processes that decode images, for each process.

    Returns:
        The error rates, and this process's images that could not be decoded; each of them counts as an error.
    """
    device, dtype = accelerator.device, next(model.parameters()).dtype

    def wrong(items: list[Item]) -> Tensor:
        batch = collated(items)
        scores = posteriors(model, subtract_mean(batch.pixels.to(device), mean, dtype), protocol.flip)
        return mistakes(scores, batch.labels.to(device))

    images = EvaluationImages(split, protocol.scale, protocol.crop_size)
    (wrong1, wrong5), problems = totals(model, images, wrong, 2, accelerator, workers)
    return ErrorRates(top1=wrong1 / len(split), top5=wrong5 / len(split), images=len(split)), problems
