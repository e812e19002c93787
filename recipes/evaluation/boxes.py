"""Classes and boxes that nets find in the images of a split, stored in a folder, and their errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from recipes.data.boxed_images import BoxedImages
from recipes.data.images import Problem
from recipes.evaluation.applied import Applied
from recipes.evaluation.error_rates import totals, wilson_interval
from recipes.evaluation.store import ReadImage, RescaledImages, Rows
from recipes.runtime.loader import EachOf
from vgg_zoo.boxes.frame import RIGHT_OVERLAP, Window, cut, fractions, intersection_over_union
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.images.preprocessing import crop_place, crop_rescaled


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBoxes(Rows):
    """Classes and boxes found in the images of a split, in their order.

    Attributes:
        found: (N, top, 6), as from `Localiser.of_rescaled`; NaN if the image could not be decoded.
        truth: For each image, the boxes of its class as fractions of its sides; none if there is a problem.
    """

    found: Tensor
    truth: list[Any]
    computed: ClassVar[str] = "found"


@dataclass
class RescaledWithBoxes(RescaledImages):
    """Images at every scale, with their true boxes."""

    split: BoxedImages

    def __getitem__(self, index: int) -> ReadImage:
        pixels, label, boxes, problem = self.split.read_boxed([index])[0]
        truth = [] if pixels is None else fractions(torch.as_tensor(boxes), *pixels.shape[:2]).tolist()
        return self.rescaled(pixels, label, problem, truth=truth)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalisationErrors:
    """Errors among `images` images, from 0 to 1 (Appendix A).

    Attributes:
        error: None of the five guesses has the class and a box that overlaps one of its objects by more than 0.5.
        top1_error: The same for the first guess alone.
        class_error: None of the guesses has the class, whatever its box.
        images: All tested images; one that could not be decoded, or has no usable box, counts as wrong.
    """

    error: float
    top1_error: float
    class_error: float
    images: int

    def with_intervals(self) -> dict[str, Any]:
        """The errors as plain data, with the 95% interval of each."""
        rates = {name: getattr(self, name) for name in ("error", "top1_error", "class_error")}
        intervals = {f"{name}_interval": list(wilson_interval(rate, self.images)) for name, rate in rates.items()}
        return {**rates, **intervals, "images": self.images}


def localisation_errors(found: Tensor, labels: Tensor, truth: list[Any]) -> LocalisationErrors:
    """Errors of guesses.

    Args:
        found: (N, top, 6): class, posterior, left, top, right, bottom.
        labels: (N,), the classifier's output for each image's class; below 0 if it is unknown.
        truth: For each image, (n, 4) boxes of its class in the same unit.
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


class TestedBox(NamedTuple):
    """An image for a test with the true class.

    Attributes:
        pixels: (3, crop, crop), the centre crop.
        label: Its class.
        window: Window of the crop.
        boxes: (n, 4), every object of the class, as fractions of the image's sides; none if there is a problem.
        problem: Why it cannot be tested.
    """

    pixels: Tensor
    label: int
    window: Window
    boxes: Tensor
    problem: Problem | None


@dataclass
class CentreCrops(Dataset[Any]):
    """The centre crops of images, with their boxes."""

    split: BoxedImages
    scale: int
    side: int

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> TestedBox:
        pixels, label, boxes, problem = self.split.read_boxed([index])[0]
        side = self.side
        if pixels is None or problem is not None:
            nothing = torch.zeros(3, side, side, dtype=torch.uint8)
            return TestedBox(nothing, label, Window(height=side, width=side, side=side), torch.zeros(0, 4), problem)
        height, width = pixels.shape[:2]
        window = Window.of_crop(crop_place(height, width, self.scale, side, 0.5, 0.5), side)
        truth = fractions(torch.as_tensor(boxes), height, width)
        return TestedBox(crop_rescaled(pixels, self.scale, side, 0.5, 0.5), label, window, truth, None)


def best_overlap(item: TestedBox, predicted: Tensor) -> Tensor:
    """The overlap of a box, (4,) in the window's frame, with the best-fitting object; 0 if there is none."""
    if len(item.boxes) == 0:
        return predicted.new_zeros(())
    box = cut(item.window.to_boxes(predicted))
    return intersection_over_union(box[None], item.boxes.to(box)).max()


def box_rates(
    model: Applied,
    share: EachOf,
    prepare: Callable[[Tensor], Tensor],
    accelerator: Accelerator,
    outputs: Sequence[int] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Test boxes with the true class given (the paper's first protocol), each process on its share of the images.

    Args:
        model: A `BoxVGG`; it is put in eval mode, and then back into its mode.
        share: This process's part of `CentreCrops`.
        prepare: A function from (b, 3, crop, crop) of uint8 to the net's input, on its device.
        accelerator: Adds up the sums of the processes.
        outputs: The net's class for each class of the data set; None means the same classes.

    Returns:
        "box_error" and "mean_overlap" from 0 to 1, and "images"; and this process's images that cannot be used. Each of
        these counts as an error with no overlap.
    """
    net: BoxVGG = model.net

    @torch.inference_mode()
    def measure(items: list[TestedBox]) -> Tensor:
        images = prepare(torch.stack([item.pixels for item in items]))
        labels = [0 if item.problem else item.label if outputs is None else outputs[item.label] for item in items]
        classes = torch.tensor(labels, device=images.device)  # any class will do if there is no box to compare with
        predicted = net.of_classes(model(images), classes).double().cpu()
        overlaps = torch.stack([best_overlap(item, box) for item, box in zip(items, predicted, strict=True)])
        return torch.stack([~(overlaps > RIGHT_OVERLAP), overlaps], 1)

    (wrong, overlap), count, problems = totals(model, share, measure, 2, accelerator)
    return {"box_error": wrong / count, "mean_overlap": overlap / count, "images": count}, problems
