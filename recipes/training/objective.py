"""What a run learns, and how it is tested: classes (Sect. 3.1) or boxes (Appendix A). The trainer knows neither."""

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
        training: That are trained on.
        validation: That the net is tested on after each epoch.
        left_out: Training images that have not what is to be learned.
    """

    training: LabelledImages
    validation: LabelledImages
    left_out: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    """What a test goes over.

    Attributes:
        split: The images.
        colours: Of the images that the net learns from.
        dtype: Of the net.
        accelerator: Adds up the counts of the processes.
        workers: Processes that decode images, for each process; they persist from test to test.
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
        """This process's part of the images as a protocol tests them; `kind` makes a dataset of split, Q and crop."""
        if protocol not in self._shares:
            images = kind(self.split, protocol.scale, protocol.crop_size)
            rank, world = self.accelerator.process_index, self.accelerator.num_processes
            self._shares[protocol] = share_of(images, rank, world, self.workers)
        return self._shares[protocol]


@dataclass(frozen=True, slots=True)
class Objective(ABC):
    """What a run learns.

    Attributes:
        recipe: Of the run.
        loss_name: What is minimised, in words.
        error_name: What the schedule watches, in words.
        columns: From the columns of metrics.csv to what a test calls them; the first is what the schedule watches.
    """

    recipe: Recipe
    loss_name: ClassVar[str]
    error_name: ClassVar[str]
    columns: ClassVar[dict[str, str]]

    @abstractmethod
    def crops(self, split: LabelledImages) -> Dataset[Any]:
        """Training crops of a split, as `Item`s by (epoch, index)."""

    @abstractmethod
    def loss(self, net: Any, outputs: Tensor, batch: Batch) -> Tensor:
        """The sum over images of what is minimised, a scalar.

        Args:
            net: The bare net.
            outputs: (b, outputs) of it.
            batch: On the same device.
        """

    @abstractmethod
    def chance(self, classes: int) -> float | None:
        """The loss of a net that has learned nothing, where there is such a number."""

    @abstractmethod
    def protocols(self) -> list[Protocol]:
        """The tests at the end of a run; the first of them follows each epoch."""

    @abstractmethod
    def test(self, model: Applied, protocol: Protocol, on: Validation) -> tuple[dict[str, Any], list[Problem]]:
        """Test a net on every image of a split.

        Args:
            model: On the accelerator's device.
            protocol: One of `protocols()`.
            on: The images, and what they need.

        Returns:
            Numbers from 0 to 1 by the names that `columns` has, and the number of "images"; and this process's
            problems, each of which counts as an error.
        """

    @abstractmethod
    def sentence(self, found: Mapping[str, Any]) -> str:
        """What a test found, in words."""
