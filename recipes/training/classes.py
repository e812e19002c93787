"""Learning classes (Sect. 3.1): multinomial logistic regression, tested by one centre crop and densely."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from recipes.data.images import LabelledImages, Problem
from recipes.evaluation.applied import Applied
from recipes.evaluation.error_rates import EvaluationImages, Protocol, error_rates
from recipes.training.batches import Batch, TrainingCrops
from recipes.training.objective import Objective, Validation
from vgg_zoo.paper import PaperNet, paper_result


class Classification(Objective):
    """Learns the classes of images."""

    loss_name: ClassVar[str] = "cross-entropy"
    columns: ClassVar[dict[str, str]] = {"top1_error": "top1", "top5_error": "top5"}
    errors: ClassVar[dict[str, str]] = {"top1_error": "top-1", "top5_error": "top-5"}

    def crops(self, split: LabelledImages) -> TrainingCrops:
        """Random crops (Sect. 3.1)."""
        return TrainingCrops(split, self.recipe)

    def loss(self, net: Any, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, summed over the images."""
        return F.cross_entropy(outputs, batch.labels, reduction="sum")

    def chance(self, classes: int) -> float:
        """The logarithm of the number of classes."""
        return math.log(classes)

    def protocols(self) -> list[Protocol]:
        """One centre crop, and the whole image densely at Q."""
        recipe, crop = self.recipe, self.recipe.crop_size
        return [
            Protocol(name="single crop", scale=recipe.single_crop_scale, crop_size=crop, flip=False),
            Protocol(name="dense", scale=recipe.test_scale, crop_size=None, flip=recipe.flip),
        ]

    def test(self, model: Applied, protocol: Protocol, on: Validation) -> tuple[dict[str, Any], list[Problem]]:
        """Top-1 and top-5 error."""
        share = on.share(protocol, EvaluationImages)
        rates, problems = error_rates(model, share, protocol, on.prepared, on.accelerator)
        return asdict(rates), problems

    def paper(self, net: Any) -> tuple[str, dict[str, float]]:
        """Of Table 3."""
        trained = tuple(sorted(set(self.recipe.train_scales)))
        row = paper_result([PaperNet(net.configuration.name, trained, (self.recipe.test_scale,))])
        return "dense", {"top1_error": row.top1, "top5_error": row.top5} if row else {}

    def sentence(self, found: Mapping[str, Any]) -> str:
        """Both errors."""
        return f"top-1 error {found['top1']:.2%}, top-5 error {found['top5']:.2%} of {found['images']} images"
