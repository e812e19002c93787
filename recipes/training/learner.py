"""The net of a run and how it learns (Sect. 3.1): SGD on a global batch that many processes share."""

import copy
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from recipes.evaluation.applied import Applied
from recipes.recipe import Recipe
from recipes.runtime.processes import broadcast, from_main
from recipes.runtime.work import weights_dtype
from recipes.training.batches import Batch, training_images
from recipes.training.beginning import last_layer
from recipes.training.checkpoint import AVERAGE, MOMENTUM, Checkpoint
from recipes.training.dropout import GlobalMasks
from recipes.training.momentum import momentum_by_name, momentum_of
from vgg_zoo.images.preprocessing import Colours
from vgg_zoo.weights.folder import WEIGHTS

FACTOR = "factor"
"""Key of the factor on the learning rate, in a group of SGD's parameters."""

Loss = Callable[[Any, Tensor, Batch], Tensor]
"""From the bare net, its outputs and a batch to the sum of the images' losses: `Objective.loss`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where, how long and on what hardware a run trains; nothing here changes what is learned.

    Attributes:
        precision: One of `recipes.names.PRECISIONS`.
        max_steps: Stop after this many SGD steps, counted from the run's beginning.
        device_batch: Maximum images that go through the net at once; gradients of more images are accumulated.
        checkpoint_every: SGD steps between checkpoints within an epoch.
        checkpoint_minutes: Maximum minutes between two checkpoints; None sets no limit.
        workers: Number of processes that load images, for each training process.
        channels_last: Keep the images in NHWC (the caller has already converted the net's weights).
        strict: Stop at the first image that cannot be decoded.
    """

    precision: str = "fp32"
    max_steps: int | None = None
    device_batch: int | None = None
    checkpoint_every: int = 1000
    checkpoint_minutes: float | None = None
    workers: int = 0
    channels_last: bool = False
    strict: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and images."""
        return weights_dtype(self.precision)


class Learner:
    """A net, its optimiser, its dropout masks and the moving average of its weights.

    Args:
        recipe: What is learned.
        limits: Limits of the hardware.
        net: The bare net, on its device.
        compiled: Train the net compiled by torch.compile.
        colours: Colours of the training images.
        loss: The loss to minimise.
        share: This process's rows of every global batch.
        accelerator: The accelerator of this process.

    Attributes:
        net: The bare net, whose weights are saved.
        model: The net for training, prepared by the accelerator.
        average: A net with the moving average of the weights; None if the recipe has none.
        saved: The net that is saved at the end: `average` or `net`.
        tested: `saved` in the precision of the run; every test uses it.
        optimizer: SGD with momentum.
    """

    def __init__(
        self,
        recipe: Recipe,
        limits: Limits,
        net: Any,
        compiled: bool,
        colours: Colours,
        loss: Loss,
        share: slice,
        accelerator: Accelerator,
    ) -> None:
        self.recipe, self.limits, self.net, self.colours = recipe, limits, net, colours
        self.loss, self.accelerator = loss, accelerator
        self.masks = GlobalMasks(net, recipe.seed, recipe.batch_size, share)
        self.model: nn.Module = accelerator.prepare(Applied(net, accelerator, compiled))
        self.optimizer = torch.optim.SGD(
            self._groups(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True if accelerator.device.type == "cuda" else None,
        )
        if isinstance(self.model, nn.parallel.DistributedDataParallel):
            self._settle_buckets()
        averaged = recipe.ema_decay is not None
        self.average: Any = copy.deepcopy(net).eval().requires_grad_(False) if averaged else None
        self.saved: Any = self.average if averaged else net
        self.tested = Applied(self.saved, accelerator)

    def _groups(self) -> list[dict[str, Any]]:
        """The trained parameters by their factor on the learning rate; a new last layer may have its own."""
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        factor, last = self.recipe.new_layer_rate, set(last_layer(self.net))
        if factor == 1:
            return [{"params": trained, FACTOR: 1.0}]
        kept, new = ([each for each in trained if (each in last) == is_last] for is_last in (False, True))
        return [{"params": group, FACTOR: rate} for group, rate in ((kept, 1.0), (new, factor)) if group]

    def _settle_buckets(self) -> None:
        """Let DDP fix the order in which it sums gradients in every later step.

        DDP determines this order in the first backward pass. Without this pass, whose gradients are 0, the first step
        of a resumed run would be summed in another order than the same step of an uninterrupted one.
        """
        crop = self.recipe.crop_size
        black = torch.zeros(1, 3, crop, crop, dtype=self.limits.dtype, device=self.accelerator.device)
        (self.model.eval()(black).sum() * 0).backward()
        self.optimizer.zero_grad()

    def begin_epoch(self, learning_rate: float) -> None:
        """Set the learning rate; a new last layer has its own factor."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group[FACTOR]
        self.model.train()

    def step(self, number: int, batch: Batch) -> Tensor:
        """Make one SGD step on a global batch; gradients are those of its mean loss, however it is divided.

        Args:
            number: Number of the step, from 0; it determines the dropout masks.
            batch: This process's share.

        Returns:
            This process's part of the batch's mean loss, a scalar; the parts of all processes add up to it.

        Raises:
            ValueError: A GPU's memory is too small; the message says how many images at once fit.
        """
        try:
            return self._step(number, batch)
        except torch.OutOfMemoryError as error:
            said = str(error).split(". ")[0]
        raise ValueError(self._what_fits(batch, said))  # after the block, because its error keeps the step's memory

    def _step(self, number: int, batch: Batch) -> Tensor:
        device, size = self.accelerator.device, len(batch.labels)
        self.masks.draw(number, device)
        total = self.zero()
        most = self.limits.device_batch or size
        for start in range(0, size, most):
            rows = slice(start, start + most)
            piece = batch.piece(rows, device)
            self.masks.select(rows)
            with nullcontext() if start + most >= size else self.accelerator.no_sync(self.model):
                loss = self.loss(self.net, self.model(self.images(piece)), piece)
                # DDP averages over the processes; their losses are parts of one sum.
                share = loss * (self.accelerator.num_processes / self.recipe.batch_size)
                self.accelerator.backward(share)
            total += loss.detach() / self.recipe.batch_size
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow()
        return total

    def _what_fits(self, batch: Batch, said: str) -> str:
        """A sentence on the memory, after attempts with fewer and fewer images at once."""
        tried = min(self.limits.device_batch or sys.maxsize, len(batch.labels))
        words = f"{said}: {tried} images at once are too many for this device; "
        while tried > 1:
            tried = -(-tried // 2)
            if self._fits(batch.piece(slice(tried), self.accelerator.device)):
                return f"{words}--device-batch {tried} fits, and changes no result beyond rounding"
        return f"{words}not even one fits: is another program on it? --gradient-checkpointing needs less"

    def _fits(self, batch: Batch) -> bool:
        self.optimizer.zero_grad()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        try:
            for parameter in self.net.parameters():
                if parameter.requires_grad:
                    momentum_of(self.optimizer, parameter)
            self.masks.select(slice(len(batch.labels)))
            with self.accelerator.no_sync(self.model):
                self.loss(self.net, self.model(self.images(batch)), batch).backward()
        except torch.OutOfMemoryError:
            return False
        return True

    def images(self, batch: Batch) -> Tensor:
        """The net's input, on its device."""
        images = training_images(batch, self.recipe, self.colours, self.limits.dtype)
        return images.contiguous(memory_format=torch.channels_last) if self.limits.channels_last else images

    def zero(self) -> Tensor:
        """The initial sum of losses."""
        device = self.accelerator.device
        return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights."""
        if self.average is not None and self.recipe.ema_decay is not None:
            towards = 1 - self.recipe.ema_decay
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), towards)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors for a checkpoint besides the net."""
        return {
            MOMENTUM: momentum_by_name(self.optimizer, self.net),
            AVERAGE: {} if self.average is None else self.average.state_dict(),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint, whatever number of processes wrote it; called by all processes.

        Only process 0 opens the checkpoint's files. It sends the others each tensor, so that all continue from the same
        bytes, whatever folder they see.
        """

        def read() -> list[str]:
            self._read(checkpoint)
            return list(momentum_by_name(self.optimizer, self.net))

        for name in from_main(self.accelerator, read, "reading the checkpoint"):
            momentum_of(self.optimizer, self.net.get_parameter(name))
        held = self.tensors()
        broadcast(
            self.accelerator, [*self.net.state_dict().values(), *held[MOMENTUM].values(), *held[AVERAGE].values()]
        )

    def _read(self, checkpoint: Checkpoint) -> None:
        self.net.load_state_dict(checkpoint.tensors(WEIGHTS))
        momentum = checkpoint.tensors(MOMENTUM)
        for name, parameter in self.net.named_parameters():
            if name in momentum:
                momentum_of(self.optimizer, parameter).copy_(momentum[name])
        if self.average is not None:
            self.average.load_state_dict(checkpoint.tensors(AVERAGE))
