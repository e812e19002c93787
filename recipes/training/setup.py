"""Building the parts of a run: data, net, and learner."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from recipes.data.box_splits import load_box_splits
from recipes.data.images import LabelledImages
from recipes.data.options import DataSource
from recipes.data.splits import load_splits
from recipes.recipe import Recipe
from recipes.runtime.processes import from_main
from recipes.training.batches import GlobalBatches, check_batch_size
from recipes.training.beginning import begin_with, random_net
from recipes.training.boxes import Localisation
from recipes.training.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from recipes.training.classes import Classification
from recipes.training.feed import Feed
from recipes.training.learner import Learner, Limits
from recipes.training.loop import Training
from recipes.training.objective import Objective, Splits
from recipes.training.run_folder import RunFolder
from vgg_zoo.images.preprocessing import Colours
from vgg_zoo.weights.folder import save_folder

OBJECTIVES: dict[str, type[Objective]] = {"classes": Classification, "boxes": Localisation}
"""Objectives by the name in the recipe."""


def load(recipe: Recipe, source: DataSource) -> Splits:
    """The images and the objective's labels; without boxes, a data set needs only classes.

    Raises:
        ValueError: The data set does not exist, there are fewer images than in one batch, or classes are to be learned
            and there is only one.
    """
    splits = Splits(*(load_box_splits(source) if recipe.objective == "boxes" else load_splits(source)))
    images = len(splits.training)
    check_batch_size(recipe.fitted(images).batch_size, images)  # before the run's folder is created
    if recipe.objective == "classes":
        check_classes(source, splits.training)
    return splits


def check_classes(source: DataSource, training: LabelledImages) -> None:
    """Check that there are several classes: with one, the loss falls to 0 and the net learns nothing.

    Raises:
        ValueError: All images are of one class.
    """
    labels = set(training.rows.with_format("numpy")["label"][:].tolist())
    if len(labels) < 2:
        names = ", ".join(repr(training.class_names[label]) for label in labels)
        raise ValueError(
            f"data set {source.spec!r}: all {len(training)} training images are of one class, {names}, of "
            f"{len(training.class_names)}; there is nothing to learn. Name the column of classes with --label-column"
        )


def net_of(recipe: Recipe, begins: str | None, classes: int, accelerator: Accelerator) -> tuple[Any, Colours | None]:
    """The initial net, and the colours of its weights if its images are prepared by them.

    DDP sends the weights of process 0 to the others when it wraps the net; only process 0 needs the trained one.

    Raises:
        ValueError: The recipe cannot begin with the net that `beginning` named.
    """
    net = random_net(recipe, classes)
    own = from_main(accelerator, lambda: begin_with(begins, net, recipe), "reading the net that the recipe begins with")
    return net, own


def checkpoint_for(accelerator: Accelerator, checkpoints: Checkpoints, resume: str) -> Checkpoint | None:
    """The checkpoint that all processes resume from, found by process 0; other processes may not have the folder.

    Args:
        accelerator: The processes.
        checkpoints: Checkpoints of the run.
        resume: "auto" takes the newest whole checkpoint, or None if there is none; otherwise a checkpoint's folder.

    Raises:
        ValueError: The named checkpoint is incomplete or altered.
    """

    def chosen() -> Checkpoint | None:
        return checkpoints.latest() if resume == "auto" else load_checkpoint(Path(resume))

    found: Checkpoint | None = from_main(accelerator, chosen, "looking for a whole checkpoint")
    return found


def limits_of(args: argparse.Namespace) -> Limits:
    """The limits from the options."""
    return Limits(
        max_steps=args.max_steps,
        device_batch=args.device_batch,
        checkpoint_every=args.checkpoint_every,
        checkpoint_minutes=args.checkpoint_minutes,
        workers=args.workers,
        precision=args.precision,
        channels_last=args.channels_last,
        strict=args.strict,
    )


def assemble(
    recipe: Recipe,
    args: argparse.Namespace,
    splits: Splits,
    net: Any,
    colours: Colours,
    folder: RunFolder,
    accelerator: Accelerator,
) -> Training:
    """The parts of a run, built according to the options; `net` is the initial net."""
    training, objective = splits.training, OBJECTIVES[recipe.objective](recipe)
    limits = limits_of(args)
    net.set_grad_checkpointing(args.gradient_checkpointing)
    net.to(accelerator.device, limits.dtype)
    if args.channels_last:
        net.to(memory_format=torch.channels_last)
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = GlobalBatches(len(training), recipe.batch_size, recipe.seed, rank, world)
    write_net = partial(
        save_folder,
        tag=Path(args.recipe).stem,
        licence=None,
        mean=colours.mean,
        deviation=colours.deviation,
        input_size=(3, recipe.crop_size, recipe.crop_size),
        crop_pct=recipe.crop_size / recipe.single_crop_scale,
        class_names=training.class_names,
        description=f"trained by the recipe {args.recipe} on {args.data}",
    )
    learner = Learner(
        recipe,
        limits,
        net,
        compiled=args.compile,
        colours=colours,
        loss=objective.loss,
        share=batches.share,
        accelerator=accelerator,
    )
    return Training(
        recipe=recipe,
        limits=limits,
        learner=learner,
        feed=Feed(objective.crops(training), batches, args.workers, accelerator.device),
        batches=batches,
        validation=splits.validation,
        objective=objective,
        accelerator=accelerator,
        checkpoints=Checkpoints(folder.checkpoints, args.keep_last, args.keep_best),
        metrics=folder.metrics,
        write_net=write_net,
    )
