"""A net of the paper whose last layer predicts boxes instead of class scores (Appendix A)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vgg_zoo.configurations import REGRESSIONS, Configuration
from vgg_zoo.model import VGG


class BoxVGG(VGG):
    """A net of Table 1 whose last layer has 4 outputs (SCR), or 4 for each class (PCR).

    `model(images)` is the mean of the map over positions, as for any net of the zoo; on a training crop, it is the
    prediction. `vgg_zoo.boxes.frame` defines the four numbers of a box.

    Args:
        cfg: A net's name in Table 1, or a `Configuration`.
        num_classes: Classes of the data set, for either regression; 0 removes the last layer.
        regression: "pcr" or "scr".
        **arguments: Arguments of `vgg_zoo.VGG`.

    Raises:
        ValueError: The regression is unknown, or `VGG` refuses an argument.
    """

    predicts = "boxes"
    __jit_unused_properties__: ClassVar[list[str]] = [*VGG.__jit_unused_properties__, "boxes"]

    def __init__(
        self, cfg: str | Configuration, num_classes: int = 1000, regression: str = "pcr", **arguments: Any
    ) -> None:
        if regression not in REGRESSIONS:
            raise ValueError(
                f"unknown regression {regression!r}; choose from pcr (a box for each class) and scr (one box for all)"
            )
        super().__init__(cfg, 4 * _boxes(num_classes, regression), **arguments)
        self.num_classes, self.regression = num_classes, regression

    @property
    def boxes(self) -> int:
        """Number of boxes for a window: one for each class, or one."""
        return _boxes(self.num_classes, self.regression)

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by one with random weights for other classes (timm's interface)."""
        super().reset_classifier(4 * _boxes(num_classes, self.regression), global_pool)
        self.num_classes = num_classes

    @torch.jit.ignore
    def by_box(self, outputs: Tensor) -> Tensor:
        """Reshape outputs or a map, (B, 4 · boxes, ...), to (B, boxes, 4, ...): a box for each class, or one (SCR)."""
        return outputs.unflatten(1, (self.boxes, 4))

    @torch.jit.ignore
    def of_classes(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """The box of one class for each image.

        Args:
            outputs: (B, 4 · boxes), the net's outputs.
            classes: (B,), from 0; no effect with SCR, which has one box for all classes.

        Returns:
            (B, 4).
        """
        boxes = self.by_box(outputs)
        if self.regression == "scr":
            return boxes[:, 0]
        return boxes[torch.arange(len(boxes), device=boxes.device), classes]


def _boxes(num_classes: int, regression: str) -> int:
    return num_classes if regression == "pcr" else min(1, num_classes)
