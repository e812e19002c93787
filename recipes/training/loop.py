"""The training loop (Sect. 3.1): SGD on global batches, a validation after each epoch, checkpoints between.

Everything random is keyed by (seed, step) or (seed, epoch, index), so the state of a run is its weights, its momentum
and its progress. A run that was killed ends bit-identical to one that was not.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from accelerate import Accelerator
from torch import Tensor, nn

from recipes.data.images import LabelledImages, Problem
from recipes.evaluation.error_rates import Protocol
from recipes.recipe import Recipe
from recipes.runtime.look import progress
from recipes.runtime.processes import from_main, greatest
from recipes.runtime.signals import STOP, StoppedError
from recipes.training.batches import Batch, GlobalBatches
from recipes.training.checkpoint import Checkpoint, Checkpoints
from recipes.training.feed import Feed
from recipes.training.guard import DivergedError, Guard, diagnosis
from recipes.training.learner import Learner, Limits
from recipes.training.objective import Objective, Validation
from recipes.training.run_folder import write_metrics
from recipes.training.schedule import Schedule
from recipes.training.writer import CheckpointWriter


@dataclass(kw_only=True)
class Training:
    """A run and its progress.

    Attributes:
        recipe: What is learned.
        limits: Where, how long and on what hardware.
        learner: The net, and how it learns.
        feed: This process's batches.
        batches: The sampler of the batches.
        validation: The split for the test after each epoch, by the first of the objective's protocols.
        objective: What is learned, and how it is tested.
        accelerator: The accelerator of this process.
        checkpoints: The run's checkpoints.
        metrics: The file metrics.csv.
        write_net: A function that writes a net as a folder for timm.
        step: Number of SGD steps so far.
        loss_sum: This process's part of the sum of the epoch's losses.
        rows: Rows of metrics.csv.
        problems: Images of this process that could not be decoded.
    """

    recipe: Recipe
    limits: Limits
    learner: Learner
    feed: Feed
    batches: GlobalBatches
    validation: LabelledImages
    objective: Objective
    accelerator: Accelerator
    checkpoints: Checkpoints
    metrics: Path
    write_net: Callable[[nn.Module, Path], None]
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: set[Problem] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.recipe)
        self.recipe_steps = self.recipe.steps(self.batches.images)
        self.guard = Guard(self.objective.chance(len(self.validation.class_names)))
        self.loss_sum = self.learner.zero()
        self._tests = Validation(
            self.validation, self.learner.colours, self.limits.dtype, self.accelerator, self.limits.workers
        )
        self._writer = CheckpointWriter(self.checkpoints, self.write_net, self.accelerator)

    @property
    def watched(self) -> str:
        """The column of metrics.csv that the schedule and the checkpoints use."""
        return next(iter(self.objective.columns))

    @property
    def total_steps(self) -> int:
        """Maximum number of SGD steps."""
        return min(self.recipe_steps, self.limits.max_steps or sys.maxsize)

    @property
    def finished(self) -> bool:
        """Whether the recipe ran to its end; `--max-steps` is not the end."""
        return self.schedule.ended or self.step >= self.recipe_steps

    @property
    def epoch_is_over(self) -> bool:
        """Whether the epoch's batches are finished, so that the validation is next."""
        consumed = self.batches.consumed
        return consumed == self.batches.in_epoch or (consumed > 0 and self.step == self.recipe_steps)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint, whatever number of processes wrote it; called by all processes."""
        self.learner.restore(checkpoint)
        state = checkpoint.state
        with checkpoint.reading():
            self.step = state["step"]
            self.batches.epoch, self.batches.consumed = state["epoch"], state["consumed"]
            self.schedule.restore(state["schedule"])
            self.rows = list(state["metrics"])
            loss_sum = float(state["loss_sum"])
        if self.accelerator.is_main_process:
            self.loss_sum += loss_sum
        from_main(self.accelerator, lambda: write_metrics(self.metrics, self.rows))

    def save(self) -> None:
        """Begin to write a checkpoint of the present state, and continue; called by all processes.

        Raises:
            DivergedError: The loss is no longer a number.
            FullDiskError: In all processes, for the previous checkpoint.
        """
        loss_sum = self.accelerator.reduce(self.loss_sum, "sum").item()
        if not math.isfinite(loss_sum):
            raise DivergedError(f"the loss is {loss_sum} at step {self.step}; no checkpoint is written of it")
        error = self.rows[-1][self.watched] if self.batches.consumed == 0 and self.rows else None
        state = {
            "epoch": self.batches.epoch,
            "consumed": self.batches.consumed,
            "schedule": self.schedule.state(),
            "loss_sum": loss_sum,
            "metrics": list(self.rows),
            "error": error,
        }
        self._writer.write(self.step, state, self.learner.net, self.learner.tensors())

    def train(self) -> None:
        """Train to the end of the recipe or of `limits.max_steps`; the last state is in a checkpoint.

        Raises:
            StoppedError: A signal asked a process to stop; a checkpoint is written.
            DivergedError: The loss is no longer a number; the last checkpoint is from before.
            ValueError: With `limits.strict`, an image cannot be decoded.
        """
        with self._writer, _bar_of(self) as bar:
            while self.epoch_is_over or (self.step < self.total_steps and not self.finished):
                if not self.epoch_is_over:
                    self._train_epoch(bar)
                if self.epoch_is_over:
                    self._end_epoch(bar)
                self.save()
            self._writer.settle()
        self.feed.close()

    def _train_epoch(self, bar: Any) -> None:
        self.learner.begin_epoch(self.schedule.learning_rate)
        for batch in self.feed:
            self.problems.update(batch.problems)
            if self.limits.strict and batch.problems:
                raise ValueError(f"--strict: {batch.problems[0]}")
            loss, is_due = self.learner.step(self.step, batch), False
            self.loss_sum += loss
            self.step += 1
            self.batches.consumed += 1
            bar.update(self.recipe.batch_size)
            # Read a number from a GPU only every ten steps, because it must finish its work each time.
            if self.accelerator.device.type == "cpu" or self.step % 10 == 0:
                self._watch(loss, batch, bar)
                is_due = self._heed()
            if self.step >= self.total_steps:
                return
            is_due |= self.step % self.limits.checkpoint_every == 0
            if is_due and self.batches.consumed < self.batches.in_epoch:
                self.save()

    def _watch(self, part: Tensor, batch: Batch, bar: Any) -> None:
        loss = self.accelerator.reduce(part, "sum").item()
        bar.set_postfix(epoch=self.batches.epoch + 1, loss=f"{loss:.3g}", refresh=False)
        if self.accelerator.trackers:
            self.accelerator.log({"loss": loss, "learning_rate": self.schedule.learning_rate}, step=self.step)
        try:
            stuck = self.guard.sits_at_chance(self.step, loss)
        except DivergedError as error:
            raise DivergedError(f"{error}; the likeliest cause is {_diagnosis_of(self, batch)}") from None
        if stuck and self.accelerator.is_main_process:
            bar.write(f"warning: {self.guard.sentence(self.step)} The likeliest cause is {_diagnosis_of(self, batch)}")

    def _heed(self) -> bool:
        """Stop all processes at the same step if any was asked to; return whether it is time for a checkpoint."""
        late = self._writer.minutes > (self.limits.checkpoint_minutes or math.inf)
        code, is_due = greatest(self.accelerator, STOP.code, late)
        if code:
            self._stop(code)
        return bool(is_due)

    def _stop(self, code: int) -> NoReturn:
        STOP.code = code  # perhaps that of another process; later signals of a launcher have no effect
        self.save()
        self._writer.settle()
        raise StoppedError(code, f"stopped at step {self.step}; the same command resumes from there")

    def _end_epoch(self, bar: Any) -> None:
        loss = self.accelerator.reduce(self.loss_sum, "sum").item() / self.batches.consumed
        self._writer.settle()  # so that no thread writes while the test forks its workers
        try:
            found = self.test(self.objective.protocols()[0])
        except StoppedError as stopped:  # in all processes; the validation starts again when the run resumes
            self._stop(stopped.code)
        errors = {column: found[name] for column, name in self.objective.columns.items()}
        row = {
            "epoch": self.batches.epoch + 1,
            "step": self.step,
            "learning_rate": self.schedule.learning_rate,
            "precision": self.limits.precision,
            "training_loss": loss,
            **errors,
        }
        self.rows.append(row)
        self.schedule.after_epoch(1 - row[self.watched])
        self.loss_sum.zero_()
        self.batches.epoch, self.batches.consumed = self.batches.epoch + 1, 0
        bar.set_postfix(epoch=row["epoch"], loss=f"{loss:.3g}", error=f"{row[self.watched]:.2%}", refresh=False)
        from_main(self.accelerator, lambda: write_metrics(self.metrics, self.rows))
        if self.accelerator.trackers:
            self.accelerator.log({"training_loss": loss, **errors}, step=self.step)

    def test(self, protocol: Protocol) -> dict[str, Any]:
        """Test the net on every validation image; called by all processes."""
        found, problems = self.objective.test(self.learner.tested, protocol, self._tests)
        self.problems.update(problems)
        return found


def _diagnosis_of(training: Training, batch: Batch) -> str:
    learner, limits = training.learner, training.limits
    first = batch.piece(slice(min(32, limits.device_batch or 32)), training.accelerator.device)
    labels = None if training.guard.chance is None else first.labels
    images, divided = learner.images(first), max(learner.colours.deviation)
    return diagnosis(learner.net, images, training.schedule.learning_rate, labels, divided)


def _bar_of(training: Training) -> Any:
    images, shown = training.recipe.batch_size, training.accelerator.is_main_process
    return progress(training.total_steps * images, shown, initial=training.step * images, unit_scale=True)
