"""Learning boxes (Appendix A): Euclidean loss on the box in the crop's frame, tested with the true class given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from recipes.data.boxed_images import BoxedImages
from recipes.data.images import LabelledImages, Problem
from recipes.evaluation.applied import Applied
from recipes.evaluation.boxes import CentreCrops, box_rates
from recipes.evaluation.error_rates import Protocol
from recipes.recipe import Recipe
from recipes.training.batches import Batch, Item, draws
from recipes.training.objective import Objective, Validation
from vgg_zoo.boxes.crops import training_box_crop
from vgg_zoo.boxes.frame import fractions
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.paper import PaperBoxNet, paper_box_result


@dataclass
class BoxCrops(Dataset[Any]):
    """Random crops that show the centre of the object, with its box; both depend only on (epoch, index).

    If there are several objects of the class, the largest is learned, the same in every epoch: the mean of two boxes is
    the box of neither object.
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
    """(4,): the first of the (n, 4) boxes with the greatest area."""
    return boxes[int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())]


class Localisation(Objective):
    """Learns the boxes of objects."""

    loss_name: ClassVar[str] = "Euclidean"
    columns: ClassVar[dict[str, str]] = {"box_error": "box_error", "mean_overlap": "mean_overlap"}
    errors: ClassVar[dict[str, str]] = {"box_error": "box error"}

    def crops(self, split: LabelledImages) -> BoxCrops:
        """Random crops of images with boxes."""
        assert isinstance(split, BoxedImages)
        return BoxCrops(split, self.recipe)

    def loss(self, net: BoxVGG, outputs: Tensor, batch: Batch) -> Tensor:
        """Half the squared distance between the true class's four numbers and the box, summed over the images."""
        return (net.of_classes(outputs, batch.labels) - batch.boxes).square().sum() / 2

    def chance(self, classes: int) -> None:
        """None: a net that always predicts the mean box has learned something."""

    def protocols(self) -> list[Protocol]:
        """The paper's first protocol: the box of the true class, from one centre crop."""
        crop, scale = self.recipe.crop_size, self.recipe.single_crop_scale
        return [Protocol(name="true class, centre crop", scale=scale, crop_size=crop, flip=False)]

    def test(self, model: Applied, protocol: Protocol, on: Validation) -> tuple[dict[str, Any], list[Problem]]:
        """The fraction of images whose box overlaps no object of the class by more than 0.5, and the mean overlap."""
        assert isinstance(on.split, BoxedImages)
        return box_rates(model, on.share(protocol, CentreCrops), on.prepared, on.accelerator)

    def paper(self, net: BoxVGG) -> tuple[str, dict[str, float]]:
        """Of Table 8."""
        recipe, trained = self.recipe, tuple(sorted(set(self.recipe.train_scales)))
        scales = (recipe.single_crop_scale,)
        row = paper_box_result(
            [PaperBoxNet(net.configuration.name, net.regression, recipe.trainable, trained, scales)], 1
        )
        return "one crop", {"box_error": row.error} if row else {}

    def sentence(self, found: Mapping[str, Any]) -> str:
        """Error and overlap."""
        return (
            f"box error {found['box_error']:.2%}, mean overlap {found['mean_overlap']:.3f} of {found['images']} images"
        )
