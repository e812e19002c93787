"""Train a net by a recipe, test it, and leave a folder that timm loads.

    accelerate launch recipes/train.py --recipe digits_vgg_a --data digits --output runs/digits

The recipe says what is learned; the options say where, how long and on what hardware. A run that was stopped or killed
goes on where it was when the same command is given again, on any number of processes.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from torch import nn

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.batches import GlobalBatches, training_loader
from recipes.beginning import beginning, random_net
from recipes.checkpoint import Checkpoints
from recipes.classification import Classification
from recipes.dry_run import dry_run
from recipes.launch import from_main, make_accelerator, only_main_speaks
from recipes.localisation import Localisation
from recipes.mistakes import mistakes_in_one_line
from recipes.objective import Objective, Splits
from recipes.options import add_data_options, add_hardware_options, column_options, data_source
from recipes.recipe import Recipe, load_recipe, recipe_names
from recipes.report import plot_learning_curve, provenance, write_json, write_problems
from recipes.run_folder import RunFolder
from recipes.training import Limits, StoppedError, Training
from vgg_zoo.preprocessing import Colours, centre_crop, subtract_mean
from vgg_zoo.weights.folder import CONFIG, WEIGHTS, save_folder
from vgg_zoo.weights.hashing import file_digest

STOPPED = 143
"""Exit code of a run that a signal stopped after its checkpoint: what shells and schedulers know as SIGTERM."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(recipe_names())}; or a .py file")
    parser.add_argument("--output", type=Path, help="folder of the run; runs/RECIPE by default")
    parser.add_argument("--overwrite", action="store_true", help="throw away what OUTPUT holds, and begin anew")
    parser.add_argument("--resume", default="auto", metavar="auto|FOLDER", help="checkpoint to go on from; the newest")
    parser.add_argument(
        "--init-from", help="trained net to begin with, where the recipe asks for one: a run's folder or a timm name"
    )
    parser.add_argument("--max-steps", type=int, help="stop after so many SGD steps in all")
    parser.add_argument("--checkpoint-every", type=int, default=1000, help="SGD steps; and after every epoch")
    parser.add_argument("--keep-last", type=int, default=2, help="newest checkpoints to keep")
    parser.add_argument("--keep-best", type=int, default=1, help="checkpoints of least validation error to keep")
    parser.add_argument("--trackers", nargs="+", default=[], metavar="NAME", help="tensorboard, wandb, ...")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")
    parser.add_argument(
        "--dry-run",
        type=int,
        nargs="?",
        const=2,
        metavar="STEPS",
        help="steps on made-up images; print memory and rate",
    )
    add_data_options(parser, required=False)
    add_hardware_options(parser)
    args = parser.parse_args()
    if args.data is None and args.dry_run is None:
        parser.error("--data is required, but for --dry-run")
    args.output = args.output or Path("runs") / Path(args.recipe).stem
    for name in ("max_steps", "checkpoint_every", "keep_last", "device_batch", "dry_run"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1; got {value}")
    return args


def objective_of(recipe: Recipe) -> Objective:
    """What the recipe learns."""
    return {"classes": Classification, "boxes": Localisation}[recipe.objective](recipe)


def identity(recipe: Recipe, args: argparse.Namespace, splits: Splits) -> Any:
    """What decides what is learned: the same in every part of an interrupted run."""
    return {
        "recipe": args.recipe,
        "settings": asdict(recipe),
        "classes": splits.training.class_names,
        "training_images": len(splits.training),
        "validation_images": len(splits.validation),
        "columns": column_options(args),
        "weights": "fp64" if args.precision == "fp64" else "fp32",
    }


def assemble(
    recipe: Recipe,
    args: argparse.Namespace,
    splits: Splits,
    colours: Colours,
    begin_with: Callable[[nn.Module], None],
    folder: RunFolder,
    accelerator: Accelerator,
) -> Training:
    """The parts of a run, each for what the options say, put together."""
    training, objective = splits.training, objective_of(recipe)
    limits = Limits(
        max_steps=args.max_steps,
        device_batch=args.device_batch,
        checkpoint_every=args.checkpoint_every,
        workers=args.workers,
        dtype=torch.float64 if args.precision == "fp64" else torch.float32,
        channels_last=args.channels_last,
        strict=args.strict,
    )
    net = random_net(recipe, len(training.class_names))
    begin_with(net)
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
        input_size=(3, recipe.crop_size, recipe.crop_size),
        crop_pct=recipe.crop_size / recipe.single_crop_scale,
        class_names=training.class_names,
        description=f"trained by the recipe {args.recipe} on {args.data}",
    )
    return Training(
        recipe=recipe,
        limits=limits,
        net=net,
        prepare=lambda: accelerator.prepare(torch.compile(net) if args.compile else net),
        colours=colours,
        loader=training_loader(objective.crops(training), batches, args.workers),
        batches=batches,
        validation=splits.validation,
        objective=objective,
        accelerator=accelerator,
        checkpoints=Checkpoints(folder.checkpoints, args.keep_last, args.keep_best),
        metrics=folder.metrics,
        write_net=write_net,
    )


@torch.inference_mode()
def example(training: Training) -> dict[str, Any]:
    """The net's outputs for one image, by which a net loaded from the folder can be told to be the trained one."""
    split, protocol, net = training.validation, training.objective.protocols()[0], training.saved
    index = next((index for index in range(len(split)) if split.read([index])[0][0] is not None), None)
    if index is None:
        return {}
    crop = centre_crop(split.pixels(index), protocol.scale, protocol.crop_size or protocol.scale)
    images = subtract_mean(crop[None].to(training.accelerator.device), training.colours.mean)
    logits = net.eval()(images.to(training.limits.dtype))[0].tolist()
    return {"index": index, "scale": protocol.scale, "crop_size": protocol.crop_size, "logits": logits}


def finish(training: Training, splits: Splits, args: argparse.Namespace) -> None:
    """Test the net by every protocol, and write what the run leaves; results.json last, as the sign of the rest."""
    accelerator, recipe, folder = training.accelerator, training.recipe, RunFolder(args.output)
    objective = training.objective
    results = {protocol.name: asdict(protocol) | training.test(protocol) for protocol in objective.protocols()}
    problems = training.all_problems()
    if accelerator.is_main_process:
        training.write_net(training.saved, folder.path)
        if problems or splits.left_out:
            write_problems(folder.problems, [*splits.left_out, *problems])
        if training.rows:
            error = (training.watched, objective.error_name)
            plot_learning_curve(folder.metrics, folder.curve, args.recipe, objective.loss_name, error)
        if training.finished:
            training.checkpoints.finish()
        content = {
            "recipe": args.recipe,
            "settings": asdict(recipe),
            "data": {
                "spec": args.data,
                "classes": len(splits.training.class_names),
                "training_images": len(splits.training),
                "validation_images": len(splits.validation),
                "left_out_images": len(splits.left_out),
                "unreadable_images": len(problems),
                **asdict(training.colours),
            },
            "finished": training.finished,
            "steps": training.step,
            "epochs": training.schedule.epochs,
            "processes": accelerator.num_processes,
            "weights_sha256": file_digest(folder.path / WEIGHTS),
            "results": results,
            "example": example(training),
            **provenance(),
        }
        write_json(folder.results, content)
    for name, result in results.items():
        accelerator.print(f"{name}: {objective.sentence(result)}")
    if problems:
        accelerator.print(f"{len(problems)} image(s) could not be used: {folder.problems} names them")
    if splits.left_out:
        accelerator.print(f"{len(splits.left_out)} training image(s) have no box: {folder.problems} names them")
    accelerator.print(f"wrote {WEIGHTS}, {CONFIG}, metrics.csv, results.json and learning_curve.png to {args.output}")


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    recipe = load_recipe(args.recipe)
    folder = RunFolder(args.output)
    folder.check(args.overwrite)
    if folder.finished and not args.overwrite:
        print(f"{args.output} is finished; --overwrite trains it anew")
        return
    begin_with = beginning(recipe, args.init_from, args.output)
    accelerator = make_accelerator(args.output, args.precision, args.deterministic, args.bf16_gradients, args.trackers)
    only_main_speaks(accelerator)
    with accelerator.main_process_first():  # the others find the data set in the cache
        splits = objective_of(recipe).load(data_source(args))
    from_main(accelerator, lambda: folder.begin(identity(recipe, args, splits), args.overwrite))
    colours = from_main(accelerator, lambda: recipe.colours or folder.colours(splits.training))
    training = assemble(recipe, args, splits, colours, begin_with, folder, accelerator)
    checkpoint = folder.checkpoint(args.resume)
    if checkpoint is not None:
        training.restore(checkpoint)
    accelerator.print(
        f"{args.recipe}: {recipe.model} on {args.data}, {len(splits.training)} training and "
        f"{len(splits.validation)} validation images of {len(splits.training.class_names)} classes, "
        f"{accelerator.num_processes} process(es) on "
        f"{accelerator.device.type}" + (f"; going on from step {training.step}" if checkpoint else "")
    )
    if args.trackers:
        options = {"wandb": {"dir": str(args.output)}}
        accelerator.init_trackers(args.output.name, config={"recipe": args.recipe}, init_kwargs=options)
    training.train()
    finish(training, splits, args)
    accelerator.end_training()


def main() -> None:
    """Run; a mistake of the user ends in one line, not in a traceback."""
    args = arguments()
    try:
        with mistakes_in_one_line():
            if args.dry_run:
                dry_run(load_recipe(args.recipe), args, assemble)
            else:
                run(args)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
