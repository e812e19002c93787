"""Classes and boxes that nets find in the images of a split, kept in a folder, and what of them is right."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor

from recipes.boxed_images import BoxedImages
from recipes.chunks import ChunkFolder, ReadImage, RescaledImages, Rows, compute_chunks
from recipes.error_rates import wilson_interval
from vgg_zoo.box_frame import RIGHT_OVERLAP, fractions, intersection_over_union
from vgg_zoo.localisation import Localiser


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBoxes(Rows):
    """What is found in the images of a split, in their order.

    Attributes:
        found: (N, top, 6), as `Localiser.of_rescaled` gives it; NaN where the image could not be decoded.
        truth: For each image the boxes of its class, as fractions of its sides; none if there is a problem.
    """

    found: Tensor
    truth: list[Any]


@dataclass(frozen=True, slots=True)
class FoundBoxesFolder(ChunkFolder[FoundBoxes]):
    """The chunks of what is found in `images` images."""

    kind: ClassVar[type[Rows]] = FoundBoxes
    what: ClassVar[str] = "boxes"


@dataclass
class RescaledWithBoxes(RescaledImages):
    """Images at every scale, with their true boxes."""

    split: BoxedImages

    def __getitem__(self, index: int) -> ReadImage:
        pixels, label, boxes, problem = self.split.read_boxed([index])[0]
        truth = [] if pixels is None else fractions(torch.as_tensor(boxes), *pixels.shape[:2]).tolist()
        return self.rescaled(pixels, label, problem, truth=truth)


def find_boxes(
    localiser: Localiser,
    split: BoxedImages,
    folder: FoundBoxesFolder,
    accelerator: Accelerator,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Find the boxes that the folder lacks; arguments and errors as of `recipes.chunks.compute_chunks`."""

    def make(found: Tensor, _: range, rows: dict[str, Any]) -> FoundBoxes:
        return FoundBoxes(found=found, **rows)

    images = RescaledWithBoxes(split, localiser.scales)
    compute_chunks(localiser.of_rescaled, images, make, folder, accelerator, workers, strict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalisationErrors:
    """Errors among `images` images, from 0 to 1 (Appendix A).

    Attributes:
        error: None of the five guesses has the class and a box that overlaps with one of its objects by more than 0.5.
        top1_error: The same of the first guess alone.
        class_error: None of the guesses has the class, wherever it is.
        images: All that were tested; one that could not be decoded, or that has no usable box, is wrong.
    """

    error: float
    top1_error: float
    class_error: float
    images: int

    def with_intervals(self) -> dict[str, Any]:
        """As plain data, with the 95% interval of each error."""
        rates = {name: getattr(self, name) for name in ("error", "top1_error", "class_error")}
        intervals = {f"{name}_interval": list(wilson_interval(rate, self.images)) for name, rate in rates.items()}
        return {**rates, **intervals, "images": self.images}


def localisation_errors(found: Tensor, labels: Tensor, truth: list[Any]) -> LocalisationErrors:
    """Errors of guesses.

    Args:
        found: (N, top, 6): class, posterior, left, top, right, bottom.
        labels: (N,), the classifier's output of each image's class; below 0 where nobody tells.
        truth: For each image (n, 4) boxes of its class in the same unit.
    """
    right_class = found[:, :, 0] == labels[:, None]
    right = torch.zeros_like(right_class)
    for image, boxes in enumerate(truth):
        if boxes:
            overlaps = intersection_over_union(found[image, :, 2:], torch.tensor(boxes, dtype=found.dtype))
            right[image] = right_class[image] & (overlaps > RIGHT_OVERLAP).any(1)
    count = len(found)
    usable = torch.tensor([bool(boxes) for boxes in truth])
    return LocalisationErrors(
        error=(~right.any(1)).sum().item() / count,
        top1_error=(~right[:, 0]).sum().item() / count,
        class_error=(~(right_class.any(1) & usable)).sum().item() / count,
        images=count,
    )
