"""A net of the paper whose last layer predicts boxes instead of class scores (Appendix A)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vgg_zoo.configurations import REGRESSIONS, Configuration
from vgg_zoo.model import VGG


class BoxVGG(VGG):
    """A net of Table 1 with a last layer of 4 outputs (SCR), or of 4 for each class (PCR).

    `model(images)` is the mean of its map over positions, as of any net of the zoo: on a training crop, the prediction.
    `vgg_zoo.boxes.frame` says what the four numbers of a box mean.

    Args:
        cfg: A net's name in Table 1, or a `Configuration`.
        num_classes: Of the data set, whatever the regression; 0 leaves the last layer out.
        regression: "pcr" or "scr".
        **arguments: Those of `vgg_zoo.VGG`.

    Raises:
        ValueError: Another regression, or an argument that `VGG` refuses.
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
        """Boxes that are predicted for a window: one for each class, or one."""
        return _boxes(self.num_classes, self.regression)

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A last layer of random weights for other classes (timm's interface)."""
        super().reset_classifier(4 * _boxes(num_classes, self.regression), global_pool)
        self.num_classes = num_classes

    @torch.jit.ignore
    def by_box(self, outputs: Tensor) -> Tensor:
        """(B, 4 · boxes, ...) outputs, or a map of them, as (B, boxes, 4, ...): one for each class, or one (SCR)."""
        return outputs.unflatten(1, (self.boxes, 4))

    @torch.jit.ignore
    def of_classes(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """The box of one class for each image.

        Args:
            outputs: (B, 4 · boxes), what the net gives.
            classes: (B,), from 0; of no effect on SCR, whose box is that of every class.

        Returns:
            (B, 4).
        """
        boxes = self.by_box(outputs)
        if self.regression == "scr":
            return boxes[:, 0]
        return boxes[torch.arange(len(boxes), device=boxes.device), classes]


def _boxes(num_classes: int, regression: str) -> int:
    return num_classes if regression == "pcr" else min(1, num_classes)
