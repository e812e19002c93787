"""Learning boxes (Appendix A): Euclidean loss on the box in the crop's frame, tested with the true class given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Dataset

from recipes.batches import Batch, Item, draws
from recipes.boxed_images import BoxedImages, load_box_splits
from recipes.data import DataSource, LabelledImages, Problem
from recipes.error_rates import Protocol
from recipes.objective import Objective, Splits
from recipes.recipe import Recipe
from recipes.totals import totals
from vgg_zoo.box_crops import training_box_crop
from vgg_zoo.box_frame import RIGHT_OVERLAP, Window, cut, fractions, intersection_over_union
from vgg_zoo.box_net import BoxVGG
from vgg_zoo.preprocessing import crop_place, crop_rescaled, subtract_mean


@dataclass
class BoxCrops(Dataset[Any]):
    """Random crops that show the centre of the object, with its box; (epoch, index) alone decides both.

    Of several objects of the class the largest is learned, the same one in every epoch: the mean of two boxes is none.
    """

    split: BoxedImages
    recipe: Recipe

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Item]:
        items, recipe = [], self.recipe
        found = self.split.read_boxed_or_next([index for _, index in keys])
        for key, (pixels, label, boxes, problem) in zip(keys, found, strict=True):
            generator, colours = draws(recipe.seed, key)
            assert pixels is not None
            box = largest(fractions(torch.as_tensor(boxes), *pixels.shape[:2]))
            crop, window = training_box_crop(pixels, box, recipe.train_scales, recipe.crop_size, recipe.flip, generator)
            items.append(Item(crop, label, colours, window.to_target(box).float(), problem))
        return items


def largest(boxes: Tensor) -> Tensor:
    """(4,): of (n, 4) boxes the one of greatest area, the first of them."""
    return boxes[int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())]


class TestedBox(NamedTuple):
    """An image for a test with the true class.

    Attributes:
        pixels: (3, crop, crop), the centre crop.
        label: Its class.
        window: Of the crop.
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


class Localisation(Objective):
    """The boxes of objects."""

    loss_name: ClassVar[str] = "Euclidean"
    error_name: ClassVar[str] = "box error"
    columns: ClassVar[dict[str, str]] = {"box_error": "box_error", "mean_overlap": "mean_overlap"}

    def load(self, source: DataSource) -> Splits:
        """Training images with a box that can be used; all validation images."""
        return Splits(*load_box_splits(source))

    def crops(self, split: LabelledImages) -> BoxCrops:
        """Random crops of images with boxes."""
        assert isinstance(split, BoxedImages)
        return BoxCrops(split, self.recipe)

    def loss(self, net: BoxVGG, outputs: Tensor, batch: Batch) -> Tensor:
        """Half the squared distance of the true class's four numbers from the box's, summed over the images."""
        return (net.of_classes(outputs, batch.labels) - batch.boxes).square().sum() / 2

    def chance(self, classes: int) -> None:
        """A net that always says the mean box has learned something."""

    def protocols(self) -> list[Protocol]:
        """The paper's first protocol: the box of the true class, from one centre crop."""
        crop, scale = self.recipe.crop_size, self.recipe.single_crop_scale
        return [Protocol(name="true class, centre crop", scale=scale, crop_size=crop, flip=False)]

    def test(
        self,
        model: nn.Module,
        split: LabelledImages,
        protocol: Protocol,
        mean: tuple[float, ...],
        accelerator: Accelerator,
        workers: int,
    ) -> tuple[dict[str, Any], list[Problem]]:
        """The part of images whose box overlaps with no object of the class by more than 0.5, and the mean overlap."""
        assert isinstance(split, BoxedImages)
        dtype = next(model.parameters()).dtype

        def prepare(pixels: Tensor) -> Tensor:
            return subtract_mean(pixels.to(accelerator.device), mean, dtype)

        return box_rates(model, split, protocol, prepare, accelerator, workers)

    def sentence(self, found: Mapping[str, Any]) -> str:
        """Error and overlap."""
        return (
            f"box error {found['box_error']:.2%}, mean overlap {found['mean_overlap']:.3f} of {found['images']} images"
        )


def best_overlap(item: TestedBox, predicted: Tensor) -> Tensor:
    """The overlap of a box, (4,) in the window's frame, with the object that it fits best; 0 where there is none."""
    if len(item.boxes) == 0:
        return predicted.new_zeros(())
    box = cut(item.window.to_boxes(predicted))
    return intersection_over_union(box[None], item.boxes.to(box)).max()


def box_rates(
    model: nn.Module,
    split: BoxedImages,
    protocol: Protocol,
    prepare: Callable[[Tensor], Tensor],
    accelerator: Accelerator,
    workers: int = 0,
    outputs: Sequence[int] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Test boxes with the true class given (the paper's first protocol), each process on its share of the images.

    Args:
        model: A `BoxVGG`, perhaps as the accelerator wrapped it; put in eval mode, and back as it was.
        split: Images with boxes.
        protocol: Its scale and crop.
        prepare: From (b, 3, crop, crop) of uint8 to the net's input, on its device.
        accelerator: Adds up the sums of the processes.
        workers: Processes that decode images, for each process.
        outputs: The net's class for each class of the data set; None takes the same.

    Returns:
        "box_error" and "mean_overlap" from 0 to 1, and "images"; and this process's images that cannot be used, each of
        which counts as an error of no overlap.
    """
    net: BoxVGG = accelerator.unwrap_model(model)
    assert protocol.crop_size is not None

    @torch.inference_mode()
    def measure(items: list[TestedBox]) -> Tensor:
        images = prepare(torch.stack([item.pixels for item in items]))
        labels = [0 if item.problem else item.label if outputs is None else outputs[item.label] for item in items]
        classes = torch.tensor(labels, device=images.device)  # any will do where there is no box to compare with
        predicted = net.of_classes(model(images), classes).double().cpu()
        overlaps = torch.stack([best_overlap(item, box) for item, box in zip(items, predicted, strict=True)])
        return torch.stack([~(overlaps > RIGHT_OVERLAP), overlaps], 1)

    crops = CentreCrops(split, protocol.scale, protocol.crop_size)
    (wrong, overlap), problems = totals(model, crops, measure, 2, accelerator, workers)
    count = len(split)
    return {"box_error": wrong / count, "mean_overlap": overlap / count, "images": count}, problems
