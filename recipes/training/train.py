"""A training from the beginning to the tested net: the work of recipes/train.py."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.agreement import check_same_images
from recipes.data.images import Problem
from recipes.data.options import column_options, data_source
from recipes.recipe import Recipe, load_recipe
from recipes.recipe_changes import changed
from recipes.runtime.files import check_pictures, write_picture, write_rows
from recipes.runtime.lock import remove_stale
from recipes.runtime.look import title
from recipes.runtime.processes import end_training, from_main, main_first
from recipes.runtime.signals import STOP
from recipes.runtime.work import begin_processes, in_processes
from recipes.training.beginning import beginning, following, sentences
from recipes.training.dry_run import dry_run
from recipes.training.learning_curve import Error, LearningCurve
from recipes.training.loop import Training
from recipes.training.objective import Splits
from recipes.training.run_folder import RunFolder
from recipes.training.setup import OBJECTIVES, assemble, checkpoint_for, load, net_of
from vgg_zoo.images.preprocessing import centre_crop, net_input
from vgg_zoo.json_files import read_object
from vgg_zoo.paper import ILSVRC
from vgg_zoo.results import read_results
from vgg_zoo.weights.files import file_digest
from vgg_zoo.weights.folder import WEIGHTS

COLOURS = "computing the mean and principal components of the training images"


def identity(recipe: Recipe, args: argparse.Namespace, splits: Splits) -> Any:
    """Everything that determines what is learned; it is the same in every part of an interrupted run."""
    return {
        "recipe": args.recipe,
        "settings": asdict(recipe),
        "begins_with": args.init_from or recipe.init_from,
        "classes": splits.training.class_names,
        "training_images": len(splits.training),
        "validation_images": len(splits.validation),
        "columns": column_options(args),
        "weights": weights_of(args),
    }


def weights_of(args: argparse.Namespace) -> str:
    """The precision of the weights, which every run of the same folder has."""
    return "fp64" if args.precision == "fp64" else "fp32"


def has_trained(folder: RunFolder, asked: Recipe, args: argparse.Namespace) -> bool:
    """Whether the run that is asked for came to its end here, as far as this is known before the data set is read.

    Raises:
        ValueError: It did, on images that were named otherwise: they may be others.
    """
    if not folder.finished:
        return False
    about = read_object(folder.identity, f"choose another --output than {folder.path}, or replace it with --overwrite")
    later = {"batch_size"} if asked.fit_batch else set()
    later |= {"model", "model_args"} if asked.last_layer == "new" else set()
    settings = {name: value for name, value in asdict(asked).items() if name not in later}
    known = {"recipe": args.recipe, "begins_with": args.init_from or asked.init_from, "settings": settings}
    known |= {"columns": column_options(args), "weights": weights_of(args)}
    kept = {name: value for name, value in about.get("settings", {}).items() if name not in later}
    same = {name: about.get(name) for name in known} | {"settings": kept} == json.loads(json.dumps(known))
    data = read_results(folder.path, "training")["data"]["spec"]
    if same and Path(data).resolve() != Path(args.data).resolve():
        raise ValueError(
            f"{folder.path} is finished, and --data was {data!r} there and is {args.data!r} now; choose another "
            "--output, or train again with --overwrite"
        )
    return same


@torch.inference_mode()
def example(training: Training) -> dict[str, Any]:
    """The net's outputs for one image, to check that a net loaded from the folder is the trained one."""
    split, protocol, net = training.validation, training.objective.protocols()[0], training.learner.saved
    index = next((index for index in range(len(split)) if split.read([index])[0][0] is not None), None)
    if index is None:
        return {}
    crop = centre_crop(split.pixels(index), protocol.scale, protocol.crop_size or protocol.scale)
    images = net_input(crop[None].to(training.accelerator.device), training.learner.colours, training.limits.dtype)
    logits = net.eval()(images)[0].tolist()
    return {"index": index, "scale": protocol.scale, "crop_size": protocol.crop_size, "logits": logits}


def finish(training: Training, splits: Splits, args: argparse.Namespace) -> None:
    """Test the net by every protocol, write the files of the run, and print the results."""
    accelerator, protocols = training.accelerator, training.objective.protocols()
    results = {protocol.name: asdict(protocol) | training.test(protocol) for protocol in protocols}
    problems = sorted(set(gather_object(list(training.problems))))
    new = from_main(accelerator, lambda: write(training, splits, args, results, problems), "writing the results")
    if accelerator.is_main_process:
        tell(training.recipe, RunFolder(args.output), new)


def tell(recipe: Recipe, folder: RunFolder, new: bool) -> None:
    """Print what the tests found, and what the run left; arguments as of `OutputFolder.tell`."""
    content, sentence = read_results(folder.path, "training"), OBJECTIVES[recipe.objective](recipe).sentence
    figures = {name: sentence(found) for name, found in content["results"].items()}
    figures["steps"] = f"{content['steps']:,}"
    for name, words in (("unreadable_images", "unusable images"), ("left_out_images", "images without a box")):
        if count := content["data"].get(name):
            figures[words] = f"{count:,}"
    folder.tell(figures, new)


def write(
    training: Training, splits: Splits, args: argparse.Namespace, results: dict[str, Any], problems: Sequence[Problem]
) -> bool:
    """Write the files of the run, results.json last as the sign that all is complete. Called by one process.

    Returns:
        Whether results.json says anything new.
    """
    folder = RunFolder(args.output)
    training.write_net(training.learner.saved, folder.path)
    if problems or splits.left_out:
        write_rows(folder.problems, [*splits.left_out, *problems])
    if training.rows:
        write_picture(folder.path / "learning_curve.png", learning_curve(training, splits, args).draw)
    if training.finished:
        training.checkpoints.finish()
    content = {
        "recipe": args.recipe,
        "settings": asdict(training.recipe),
        "data": {
            "spec": args.data,
            "classes": len(splits.training.class_names),
            "training_images": len(splits.training),
            "validation_images": len(splits.validation),
            "left_out_images": len(splits.left_out),
            "unreadable_images": len(problems),
            **asdict(training.learner.colours),
        },
        "finished": training.finished,
        "precision": args.precision,
        "steps": training.step,
        "epochs": training.schedule.epochs,
        "processes": training.accelerator.num_processes,
        "weights_sha256": file_digest(folder.path / WEIGHTS),
        "results": results,
        "example": example(training),
    }
    return folder.write_results("training", content)


def learning_curve(training: Training, splits: Splits, args: argparse.Namespace) -> LearningCurve:
    """Of the epochs so far, with the paper's errors where the images are the paper's."""
    recipe, objective = training.recipe, training.objective
    classes, images = len(splits.training.class_names), len(splits.validation)
    test, papers = objective.paper(training.learner.saved) if (classes, images) == ILSVRC else ("", {})
    errors = [
        Error(column=column, name=name, paper=(papers[column], test) if column in papers else None)
        for column, name in objective.errors.items()
        if all(column in row for row in training.rows) and (column != "top5_error" or classes > 5)
    ]
    return LearningCurve(
        title=f"{args.recipe}: {recipe.model}, {len(splits.training):,} images of {classes:,} classes",
        loss=objective.loss_name,
        protocol=objective.protocols()[0].name,
        errors=errors,
        rows=training.rows,
    )


def train(asked: Recipe, args: argparse.Namespace) -> None:
    """Run a training."""
    check_pictures()
    accelerator = begin_processes(args, args.output)
    if not train_net(asked, args, accelerator) and accelerator.is_main_process:
        tell(asked, RunFolder(args.output), new=False)
    end_training(accelerator)


def train_net(asked: Recipe, args: argparse.Namespace, accelerator: Accelerator) -> bool:
    """Train between the beginning and the end of the processes; return whether anything was left to do.

    Only process 0 opens the folder of the run, and that of the initial net. Other machines need not have these folders;
    if they have folders of the same names, these are ignored.
    """
    folder = RunFolder(args.output)

    def look() -> tuple[bool, str | None, Recipe]:
        folder.check(training=True)
        finished = not args.overwrite and has_trained(folder, asked, args)
        if finished:
            remove_stale(args.output)
            return True, None, asked
        begins = beginning(asked, args.init_from, args.output)
        return False, begins, following(asked, begins)

    finished, begins, recipe = from_main(accelerator, look)
    if finished:
        return False
    splits = main_first(accelerator, lambda: load(recipe, data_source(args)), "reading the data set")
    check_same_images(accelerator, splits.training, splits.validation)
    recipe = recipe.fitted(len(splits.training))
    net, own = net_of(recipe, begins, len(splits.training.class_names), accelerator)

    def begin() -> bool:
        folder.begin(identity(recipe, args, splits), args.overwrite)
        return folder.finished  # by a process that has used the folder until now

    if from_main(accelerator, begin, "looking at the folder of the run"):
        return False
    known = recipe.colours or own
    colours = from_main(accelerator, lambda: known or folder.colours(splits.training), COLOURS)
    training = assemble(recipe, args, splits, net, colours, folder, accelerator)
    checkpoint = checkpoint_for(accelerator, training.checkpoints, args.resume)
    if checkpoint is not None:
        training.restore(checkpoint)
    images = f"{len(splits.training):,} training and {len(splits.validation):,} validation images"
    accelerator.print(
        title(
            "train",
            f"{args.recipe}, {recipe.model}",
            f"{args.data}: {images} of {len(splits.training.class_names):,} classes",
            in_processes(accelerator, args.precision),
            *([f"resumes from step {training.step}"] if checkpoint else []),
        )
    )
    if begins is not None and recipe.last_layer == "new":
        accelerator.print(sentences(recipe, begins, len(splits.training.class_names), colours))
    if recipe.batch_size != asked.batch_size:
        accelerator.print(
            f"batches of {recipe.batch_size} images, a quarter of the training set, in place of {asked.batch_size}"
        )
    if args.trackers:
        options = {"wandb": {"dir": str(args.output)}}
        accelerator.init_trackers(args.output.name, config={"recipe": args.recipe}, init_kwargs=options)
    with STOP.deferred():  # until the end of a step, or of a batch in tests
        training.train()
        finish(training, splits, args)
    return True


def run(args: argparse.Namespace) -> None:
    """Train, or make a dry run on made-up images."""
    recipe = changed(load_recipe(args.recipe), args.changes)
    if args.dry_run:
        dry_run(recipe, args)
    else:
        train(recipe, args)
