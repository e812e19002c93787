"""What a run learns and how it is tested: classes (Sect. 3.1) or boxes (Appendix A). The trainer depends on neither."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from recipes.data.images import LabelledImages, Problem
from recipes.evaluation.applied import Applied
from recipes.evaluation.error_rates import Protocol, share_of
from recipes.recipe import Recipe
from recipes.runtime.loader import EachOf
from recipes.training.batches import Batch
from vgg_zoo.images.preprocessing import Colours, net_input


@dataclass(frozen=True, slots=True)
class Splits:
    """The images of a run.

    Attributes:
        training: Images to train on.
        validation: Images for the test after each epoch.
        left_out: Training images without what is to be learned.
    """

    training: LabelledImages
    validation: LabelledImages
    left_out: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    """The images of a test and their preparation.

    Attributes:
        split: The images.
        colours: Colours of the net's training images.
        dtype: Type of the net.
        accelerator: Adds up the counts of the processes.
        workers: Number of processes that decode images, for each process; they persist from test to test.
    """

    split: LabelledImages
    colours: Colours
    dtype: torch.dtype
    accelerator: Accelerator
    workers: int
    _shares: dict[Protocol, EachOf] = field(default_factory=dict)

    def prepared(self, pixels: Tensor) -> Tensor:
        """From (b, 3, H, W) of uint8 to the net's input, on its device."""
        return net_input(pixels.to(self.accelerator.device), self.colours, self.dtype)

    def share(self, protocol: Protocol, kind: Callable[..., Any]) -> EachOf:
        """This process's part of the images for a protocol; `kind` makes a dataset from split, Q and crop."""
        if protocol not in self._shares:
            images = kind(self.split, protocol.scale, protocol.crop_size)
            rank, world = self.accelerator.process_index, self.accelerator.num_processes
            self._shares[protocol] = share_of(images, rank, world, self.workers)
        return self._shares[protocol]


@dataclass(frozen=True, slots=True)
class Objective(ABC):
    """What a run learns.

    Attributes:
        recipe: The run's recipe.
        loss_name: What is minimised, in words.
        columns: From the columns of metrics.csv to the names in a test; the schedule watches the first.
        errors: The columns that are errors, and their names in words.
    """

    recipe: Recipe
    loss_name: ClassVar[str]
    columns: ClassVar[dict[str, str]]
    errors: ClassVar[dict[str, str]]

    @abstractmethod
    def crops(self, split: LabelledImages) -> Dataset[Any]:
        """Training crops of a split, as `Item`s by (epoch, index)."""

    @abstractmethod
    def loss(self, net: Any, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss, summed over the images; a scalar.

        Args:
            net: The bare net.
            outputs: (b, outputs) of the net.
            batch: The batch, on the same device.
        """

    @abstractmethod
    def chance(self, classes: int) -> float | None:
        """The loss of a net that has learned nothing; None if there is no such number."""

    @abstractmethod
    def protocols(self) -> list[Protocol]:
        """The tests at the end of a run; the first one also runs after each epoch."""

    @abstractmethod
    def test(self, model: Applied, protocol: Protocol, on: Validation) -> tuple[dict[str, Any], list[Problem]]:
        """Test a net on every image of a split.

        Args:
            model: The net, on the accelerator's device.
            protocol: One of `protocols()`.
            on: The images and their preparation.

        Returns:
            Numbers from 0 to 1 by the names in `columns`, and the number of "images"; and this process's problems, each
            of which counts as an error.
        """

    @abstractmethod
    def paper(self, net: Any) -> tuple[str, dict[str, float]]:
        """What the paper reached on ILSVRC with this net, trained at the same S: its test, and its errors in percent.

        By the names that `errors` has; none where the paper has no such net.
        """

    @abstractmethod
    def sentence(self, found: Mapping[str, Any]) -> str:
        """The results of a test in words."""
