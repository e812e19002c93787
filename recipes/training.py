"""The training loop (Sect. 3.1): SGD on global batches, a validation after each epoch, checkpoints between.

Everything random is keyed by (seed, step) or (seed, epoch, index), so that the state of a run is its weights, its
momentum and how far it is. A run that was killed and one that was not end with the same bits.
"""

import copy
import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from recipes.batches import Batch, GlobalBatches, training_images
from recipes.checkpoint import AVERAGE, MOMENTUM, Checkpoint, Checkpoints
from recipes.data import LabelledImages, Problem
from recipes.dropout import GlobalMasks
from recipes.error_rates import Protocol
from recipes.guard import DivergedError, Guard, diagnosis
from recipes.objective import Objective
from recipes.recipe import Recipe
from recipes.report import write_metrics
from recipes.schedule import Schedule
from vgg_zoo.preprocessing import Colours
from vgg_zoo.weights.folder import WEIGHTS


class StoppedError(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where, how long, and on what hardware: nothing here changes what is learned.

    Attributes:
        max_steps: Stop after so many SGD steps, counted from the run's beginning.
        device_batch: Most images that go through the net at once; more are accumulated.
        checkpoint_every: SGD steps between checkpoints within an epoch.
        workers: Processes that load images, for each training process.
        dtype: Of weights and images.
        channels_last: Keep the images in NHWC (the net's weights were put into it by the caller).
        strict: Stop at the first image that cannot be decoded.
    """

    max_steps: int | None = None
    device_batch: int | None = None
    checkpoint_every: int = 1000
    workers: int = 0
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    strict: bool = False


@dataclass(kw_only=True)
class Training:
    """A run and how far it is.

    Attributes:
        recipe: What is learned.
        limits: Where, how long, on what.
        net: The bare net, whose weights are saved.
        prepare: Gives the same, prepared by the accelerator; called when the net's layers are as they are trained.
        colours: Of the training images.
        loader: This process's batches.
        batches: The sampler behind them.
        validation: The split that is tested after each epoch, by the first of the objective's protocols.
        objective: What is learned.
        accelerator: Of this process.
        checkpoints: Where they go.
        metrics: The file metrics.csv.
        write_net: Writes timm's folder of a net.
        average: The moving average of the net's weights, as a net; None where the recipe has none.
        step: SGD steps so far.
        loss_sum: This process's part of the sum of the epoch's losses.
        rows: Of metrics.csv.
        problems: Images of this process that could not be decoded.
    """

    recipe: Recipe
    limits: Limits
    net: Any
    prepare: Callable[[], nn.Module]
    colours: Colours
    loader: DataLoader[Any]
    batches: GlobalBatches
    validation: LabelledImages
    objective: Objective
    accelerator: Accelerator
    checkpoints: Checkpoints
    metrics: Path
    write_net: Callable[[nn.Module, Path], None]
    average: nn.Module | None = None
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: set[Problem] = field(default_factory=set)

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.schedule = Schedule(recipe)
        self.masks = GlobalMasks(self.net, recipe.seed, recipe.batch_size, self.batches.share)
        self.model = self.prepare()
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(
            trained, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        if recipe.ema_decay is not None:
            self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.guard = Guard(self.objective.chance(len(self.validation.class_names)))
        self.loss_sum = self._zero()

    @property
    def watched(self) -> str:
        """The column of metrics.csv that the schedule and the checkpoints go by."""
        return next(iter(self.objective.columns))

    @property
    def tested(self) -> nn.Module:
        """The net that is tested: the moving average where there is one."""
        return self.model if self.average is None else self.average

    @property
    def saved(self) -> nn.Module:
        """The same, bare."""
        return self.net if self.average is None else self.average

    @property
    def total_steps(self) -> int:
        """SGD steps at the most."""
        return min(self.recipe.steps(self.batches.images), self.limits.max_steps or sys.maxsize)

    @property
    def finished(self) -> bool:
        """The recipe came to its end; `--max-steps` alone is no end."""
        return self.schedule.ended or self.step >= self.recipe.steps(self.batches.images)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, whatever number of processes wrote it."""
        state = checkpoint.state
        self.net.load_state_dict(checkpoint.tensors(WEIGHTS))
        momentum = checkpoint.tensors(MOMENTUM)
        for name, parameter in self.net.named_parameters():
            if name in momentum:
                # In the layout of the weights (NHWC or not), in which SGD would have made it.
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum[name])
        if self.average is not None:
            self.average.load_state_dict(checkpoint.tensors(AVERAGE))
        self.step = state["step"]
        self.batches.epoch, self.batches.consumed = state["epoch"], state["consumed"]
        self.schedule.restore(state["schedule"])
        self.rows = list(state["metrics"])
        if self.accelerator.is_main_process:
            self.loss_sum += state["loss_sum"]
            write_metrics(self.metrics, self.rows)

    def save(self) -> None:
        """Write a checkpoint; called by all processes."""
        loss_sum = self.accelerator.reduce(self.loss_sum, "sum").item()
        if not math.isfinite(loss_sum):
            raise DivergedError(f"the loss is {loss_sum} at step {self.step}; no checkpoint is written of it")
        if self.accelerator.is_main_process:
            state = {
                "epoch": self.batches.epoch,
                "consumed": self.batches.consumed,
                "schedule": self.schedule.state(),
                "loss_sum": loss_sum,
                "metrics": self.rows,
                "error": self.rows[-1][self.watched] if self.batches.consumed == 0 and self.rows else None,
            }
            momentum = {
                name: self.optimizer.state[parameter]["momentum_buffer"]
                for name, parameter in self.net.named_parameters()
                if "momentum_buffer" in self.optimizer.state.get(parameter, {})
            }
            tensors = {MOMENTUM: momentum, AVERAGE: {} if self.average is None else self.average.state_dict()}
            self.checkpoints.save(self.step, state, lambda folder: self.write_net(self.net, folder), tensors)
        self.accelerator.wait_for_everyone()

    def train_step(self, batch: Batch) -> Tensor:
        """One SGD step on a global batch; gradients are those of its mean loss, however it is shared and cut.

        Args:
            batch: This process's share.

        Returns:
            This process's part of the batch's mean loss, a scalar; the parts of all processes add up to it.
        """
        device, size = self.accelerator.device, len(batch.labels)
        self.masks.draw(self.step, device)
        total = self._zero()
        most = self.limits.device_batch or size
        for start in range(0, size, most):
            rows = slice(start, start + most)
            piece = batch.piece(rows, device)
            self.masks.select(rows)
            with nullcontext() if start + most >= size else self.accelerator.no_sync(self.model):
                loss = self.objective.loss(self.net, self.model(self.images(piece)), piece)
                # DDP averages over the processes; their losses are parts of one sum.
                share = loss * (self.accelerator.num_processes / self.recipe.batch_size)
                self.accelerator.backward(share)
            total += loss.detach() / self.recipe.batch_size
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow()
        return total

    def images(self, batch: Batch) -> Tensor:
        """The net's input, on its device."""
        images = training_images(batch, self.recipe, self.colours, self.limits.dtype)
        return images.contiguous(memory_format=torch.channels_last) if self.limits.channels_last else images

    def _zero(self) -> Tensor:
        device = self.accelerator.device
        return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights."""
        if self.average is not None and self.recipe.ema_decay is not None:
            towards = 1 - self.recipe.ema_decay
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), towards)

    def train(self) -> None:
        """Train to the end of the recipe or of `limits.max_steps`; the last state is in a checkpoint.

        Raises:
            StoppedError: SIGTERM or SIGUSR1 came; a checkpoint is written.
            DivergedError: The loss is no longer a number; the last checkpoint is from before.
            ValueError: With `limits.strict`, an image cannot be decoded.
        """
        with self._bar() as bar, _stop_signals() as signals:
            while self.step < self.total_steps and not self.finished:
                self._train_epoch(bar, signals)
                if self.batches.consumed == self.batches.in_epoch or self.step == self.recipe.steps(
                    self.batches.images
                ):
                    self._end_epoch(bar)
                self.save()

    def _train_epoch(self, bar: Any, signals: list[int]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate
        self.model.train()
        for batch in self.loader:
            self.problems.update(batch.problems)
            if self.limits.strict and batch.problems:
                raise ValueError(f"--strict: {batch.problems[0]}")
            loss = self.train_step(batch)
            self.loss_sum += loss
            self.step += 1
            self.batches.consumed += 1
            bar.update(self.recipe.batch_size)
            if self._every(10):
                self._watch(loss, batch, bar)
                self._heed(signals)
            if self.step >= self.total_steps:
                return
            if self.step % self.limits.checkpoint_every == 0 and self.batches.consumed < self.batches.in_epoch:
                self.save()

    def _every(self, steps: int) -> bool:
        """A GPU is asked for a number every so many steps only, as it would have to finish its work each time."""
        return self.accelerator.device.type == "cpu" or self.step % steps == 0

    def _watch(self, part: Tensor, batch: Batch, bar: Any) -> None:
        loss = self.accelerator.reduce(part, "sum").item()
        bar.set_postfix(epoch=self.batches.epoch + 1, loss=f"{loss:.3g}", refresh=False)
        if self.accelerator.trackers:
            self.accelerator.log({"loss": loss, "learning_rate": self.schedule.learning_rate}, step=self.step)
        try:
            stuck = self.guard.sits_at_chance(self.step, loss)
        except DivergedError as error:
            raise DivergedError(f"{error}; the likeliest cause is {self._diagnosis(batch)}") from None
        if stuck and self.accelerator.is_main_process:
            bar.write(
                f"warning: the loss has stayed at {loss:.3g}, the logarithm of the number of classes, for "
                f"{self.step - (self.guard.since or 0)} steps: the net learns nothing. The likeliest cause is "
                + self._diagnosis(batch)
            )

    def _diagnosis(self, batch: Batch) -> str:
        first = batch.piece(slice(8), self.accelerator.device)
        return diagnosis(self.net, self.images(first), self.schedule.learning_rate)

    def _heed(self, signals: list[int]) -> None:
        """All processes stop at the same step, when any of them was asked to."""
        if signals:
            self.accelerator.set_trigger()
        if self.accelerator.check_trigger():
            if self.batches.consumed == self.batches.in_epoch:
                return  # the checkpoint follows the validation
            self.save()
            raise StoppedError(f"stopped at step {self.step}; the same command goes on from there")

    def _end_epoch(self, bar: Any) -> None:
        steps = self.batches.consumed
        loss = self.accelerator.reduce(self.loss_sum, "sum").item() / steps
        accelerator = self.accelerator
        found = self.test(self.objective.protocols()[0])
        errors = {column: found[name] for column, name in self.objective.columns.items()}
        row = {
            "epoch": self.batches.epoch + 1,
            "step": self.step,
            "learning_rate": self.schedule.learning_rate,
            "training_loss": loss,
            **errors,
        }
        self.rows.append(row)
        self.schedule.after_epoch(1 - row[self.watched])
        self.loss_sum.zero_()
        self.batches.epoch, self.batches.consumed = self.batches.epoch + 1, 0
        bar.set_postfix(epoch=row["epoch"], loss=f"{loss:.3g}", error=f"{row[self.watched]:.2%}", refresh=False)
        if accelerator.is_main_process:
            write_metrics(self.metrics, self.rows)
        if accelerator.trackers:
            accelerator.log({"training_loss": loss, **errors}, step=self.step)

    def test(self, protocol: Protocol) -> dict[str, Any]:
        """Test the net on every validation image; called by all processes."""
        workers, mean = self.limits.workers, self.colours.mean
        found, problems = self.objective.test(self.tested, self.validation, protocol, mean, self.accelerator, workers)
        self.problems.update(problems)
        return found

    def all_problems(self) -> list[Problem]:
        """Those of all processes, in order; called by all of them."""
        return sorted(set(gather_object(list(self.problems))))

    def _bar(self) -> Any:
        return tqdm(
            total=self.total_steps * self.recipe.batch_size,
            initial=self.step * self.recipe.batch_size,
            unit=" images",
            unit_scale=True,
            disable=not self.accelerator.is_main_process,
            mininterval=0.5 if sys.stderr.isatty() else 20,
        )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that fills when the system asks the process to stop: SIGTERM, or SIGUSR1 as Slurm sends it."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
