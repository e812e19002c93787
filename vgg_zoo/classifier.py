"""The base class of everything that maps images to class posteriors: one image or many, and their likeliest classes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

from vgg_zoo.dense import of_each
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.each import Each, progress
from vgg_zoo.images.inputs import Array, Input, Inputs, One, Rescaled, at_scales, count_of, is_one, several, size_of

Predictions = list[tuple[str, float]]
"""Classes of an image and their posteriors, in descending order."""


class Classifier(ABC):
    """A function from images to class posteriors: one net, or the mean of several.

    Attributes:
        scales: Q, the smallest sides in pixels to which images are rescaled.
    """

    scales: tuple[int, ...]

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device that computes posteriors."""

    @property
    @abstractmethod
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the posteriors."""

    @abstractmethod
    def of_rescaled(self, images: Sequence[Rescaled | None]) -> Tensor:
        """(N, num_classes) posteriors of images at `scales`; None gives a row of NaN."""

    @torch.inference_mode()
    def __call__(self, images: Input | Inputs, *, on_error: str = "raise", show_progress: bool = False) -> Tensor:
        """Posteriors of images of any sizes.

        Args:
            images: PIL images, paths, http(s) addresses, (H, W, 3) arrays of RGB in 0–255, batches of a `DataLoader`
                (uint8), a column of `datasets`, or any other `Input`; or one image. They are drawn one by one, so a
                generator of any length needs only bounded memory.
            on_error: What to do with an image that cannot be decoded: "raise", or "nan": its row is NaN, and a warning
                counts and names all such images.
            show_progress: Show a progress bar with the rate and, if the number of images is known, the remaining time.

        Returns:
            (N, num_classes), or (num_classes,) for one image, float32, on the CPU; rows sum to 1. A row does not depend
            on the other images.

        Raises:
            ValueError: There are no images, an input is no image, or `on_error` is unknown.
            BadImageError: An image cannot be decoded; the message has its position and name.
        """

        def prepare(pixels: Pixels, named: str, beside: None) -> Rescaled:
            return at_scales(pixels, self.scales)

        one = is_one(images)
        given: Any = [images] if one else images
        each = Each(((image, None) for image in several(given)), prepare, size_of, on_error)
        with progress(count_of(given), show_progress) as bar:
            rows = of_each(self.of_rescaled, each, self.device, bar)
        each.warn(len(rows))
        return rows[0] if one else rows

    @overload
    def predict(  # type: ignore[overload-overlap]  # a path is an iterable of letters, not of images
        self, images: One, top: int = 5, *, on_error: str = "raise", show_progress: bool = False
    ) -> Predictions: ...

    @overload
    def predict(self, images: Array, top: int = 5, *, on_error: str = "raise", show_progress: bool = False) -> Any: ...

    @overload
    def predict(
        self, images: Inputs, top: int = 5, *, on_error: str = "raise", show_progress: bool = False
    ) -> list[Predictions]: ...

    def predict(self, images: Any, top: int = 5, *, on_error: str = "raise", show_progress: bool = False) -> Any:
        """The `top` likeliest classes of each image with their posteriors, in descending order.

        Args:
            images: As in a call; so are `on_error` (with "nan", an image that cannot be decoded has an empty list) and
                `show_progress`.
            top: Number of classes; at most all classes are returned.

        Returns:
            A list of (class, posterior) for each image; for one image, its list.

        Raises:
            ValueError: `top` is below 1, or as in a call.
            BadImageError: As in a call.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, the likeliest class; got {top}")
        names = self.class_names
        posteriors = self(images, on_error=on_error, show_progress=show_progress)
        values, classes = posteriors.view(-1, posteriors.shape[-1]).topk(min(top, len(names)))
        rows = [
            [(names[number], value) for number, value in zip(*row, strict=True) if not math.isnan(value)]
            for row in zip(classes.tolist(), values.tolist(), strict=True)
        ]
        return rows[0] if posteriors.ndim == 1 else rows
