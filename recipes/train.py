"""Train a net by a recipe, test it, and leave a folder that timm loads.

    accelerate launch recipes/train.py --recipe digits_vgg_a --data digits --output runs/digits

The recipe says what is learned; the options say where, how long and on what hardware.
"""

import argparse
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import datasets
import timm
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data import GlobalBatches, LabelledImages, load_splits, training_loader, training_mean
from recipes.evaluate import Protocol, error_rates
from recipes.output import check_output, output_folder
from recipes.recipe import Recipe, load_recipe, recipe_names
from recipes.report import append_metrics, plot_learning_curve, provenance, sha256, write_json
from recipes.schedule import Plateau
from vgg_zoo.preprocessing import centre_crop, subtract_mean, to_pixels
from vgg_zoo.weights.folder import CONFIG, WEIGHTS, save_folder

Mean = tuple[float, float, float]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help=f"one of {', '.join(recipe_names())}")
    parser.add_argument("--data", required=True, help="'digits', a Hub id, a folder of images, or parquet")
    parser.add_argument("--output", required=True, type=Path, help="folder for the trained net and its results")
    parser.add_argument("--overwrite", action="store_true", help="replace an OUTPUT that exists")
    parser.add_argument("--device-batch", type=int, help="most images at once on a device; more are accumulated")
    parser.add_argument("--max-steps", type=int, help="stop after so many SGD steps")
    parser.add_argument("--workers", type=int, default=0, help="processes that load images, for each training process")
    return parser.parse_args()


def protocols(recipe: Recipe) -> list[Protocol]:
    """The two tests of every run: one centre crop, and the whole image densely at Q."""
    least, most = recipe.train_scales
    middle = (least + most) // 2
    return [
        Protocol(name="single crop", scale=middle, crop_size=recipe.crop_size, flip=False),
        Protocol(name="dense", scale=recipe.test_scale, crop_size=None, flip=recipe.flip),
    ]


@torch.inference_mode()
def example(model: nn.Module, split: LabelledImages, protocol: Protocol, mean: Mean) -> dict[str, Any]:
    """The logits of one image, by which a net loaded from the folder can be told to be the trained one."""
    crop = centre_crop(split.image(0), protocol.scale, protocol.crop_size or protocol.scale)
    images = subtract_mean(to_pixels(crop)[None].to(next(model.parameters()).device), mean)
    logits = model.eval()(images)[0].tolist()
    return {"index": 0, "scale": protocol.scale, "crop_size": protocol.crop_size, "logits": logits}


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    mean: Mean,
    global_batch: int,
    device_batch: int,
    accelerator: Accelerator,
) -> torch.Tensor:
    """One SGD step on a global batch; gradients are those of its mean loss, however it is shared and cut.

    Args:
        model: Prepared by the accelerator.
        optimizer: Prepared by the accelerator.
        pixels: (b, 3, crop, crop) uint8, this process's share of the batch.
        labels: (b,).
        mean: RGB in 0–255 to subtract.
        global_batch: Images of all processes together.
        device_batch: Most images that go through the net at once.
        accelerator: Of this process.

    Returns:
        This process's part of the batch's mean cross-entropy, a scalar; the parts of all processes add up to it.
    """
    total = torch.zeros((), device=accelerator.device)
    pieces = list(zip(pixels.split(device_batch), labels.split(device_batch), strict=True))
    for place, (piece, answers) in enumerate(pieces):
        last = place == len(pieces) - 1
        with nullcontext() if last else accelerator.no_sync(model):
            images = subtract_mean(piece.to(accelerator.device, non_blocking=True), mean)
            loss = F.cross_entropy(model(images), answers.to(accelerator.device), reduction="sum") / global_batch
            # DDP averages over the processes; their losses are parts of one sum.
            accelerator.backward(loss * accelerator.num_processes)
        total += loss.detach()
    optimizer.step()
    optimizer.zero_grad()
    return total


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    batches: GlobalBatches,
    validation: LabelledImages,
    *,
    recipe: Recipe,
    mean: Mean,
    args: argparse.Namespace,
    metrics: Path,
    accelerator: Accelerator,
) -> int:
    """Train to the end of the recipe or of `--max-steps`, with a row of `metrics` for each epoch.

    Returns:
        The SGD steps taken.
    """
    schedule = Plateau(recipe)
    total_steps = min(recipe.epochs * len(loader), args.max_steps or sys.maxsize)
    device_batch = args.device_batch or recipe.batch_size
    step = 0
    bar = tqdm(
        total=total_steps,
        unit="step",
        disable=not accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 20,
    )
    for epoch in range(recipe.epochs):
        if step == total_steps:
            break
        batches.epoch = epoch
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate
        losses = []
        model.train()
        for pixels, labels in loader:
            losses.append(
                train_step(
                    model,
                    optimizer,
                    pixels,
                    labels,
                    mean=mean,
                    global_batch=recipe.batch_size,
                    device_batch=device_batch,
                    accelerator=accelerator,
                )
            )
            step += 1
            bar.update()
            if step == total_steps:
                break
        loss = accelerator.reduce(torch.stack(losses).mean(), "sum").item()
        errors = error_rates(model, validation, protocols(recipe)[0], mean, accelerator)
        row = {
            "epoch": epoch + 1,
            "step": step,
            "learning_rate": schedule.learning_rate,
            "training_loss": loss,
            "top1_error": errors.top1,
            "top5_error": errors.top5,
        }
        schedule.after_epoch(1 - errors.top1)
        bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3g}", error=f"{errors.top1:.2%}", refresh=False)
        if accelerator.is_main_process:
            append_metrics(metrics, row)
    bar.close()
    return step


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    recipe = load_recipe(args.recipe)
    check_output(args.output, args.overwrite)
    made_by = provenance()
    accelerator = Accelerator()
    if not accelerator.is_main_process:
        datasets.disable_progress_bars()
    with accelerator.main_process_first():  # the others find the data set in the cache
        training, validation = load_splits(args.data)
    mean = recipe.mean or training_mean(training)
    batches = GlobalBatches(
        len(training), recipe.batch_size, recipe.seed, accelerator.process_index, accelerator.num_processes
    )
    loader = training_loader(training, recipe, batches, args.workers)

    set_seed(recipe.seed)  # the same initial weights in every process
    model = timm.create_model(recipe.model, num_classes=len(training.class_names), **recipe.model_args)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    set_seed(recipe.seed, device_specific=True)  # other dropout masks in every process
    accelerator.print(
        f"{args.recipe}: {recipe.model} on {args.data}, {len(training)} training and {len(validation)} validation "
        f"images of {len(training.class_names)} classes, {accelerator.num_processes} process(es) on "
        f"{accelerator.device.type}"
    )

    with output_folder(args.output, accelerator) as folder:
        steps = train(
            model,
            optimizer,
            loader,
            batches,
            validation,
            recipe=recipe,
            mean=mean,
            args=args,
            metrics=folder / "metrics.csv",
            accelerator=accelerator,
        )
        results = {
            protocol.name: asdict(protocol) | asdict(error_rates(model, validation, protocol, mean, accelerator))
            for protocol in protocols(recipe)
        }
        if accelerator.is_main_process:
            net = accelerator.unwrap_model(model)
            least, most = recipe.train_scales
            save_folder(
                net,
                folder,
                tag=args.recipe,
                licence=None,
                mean=mean,
                input_size=(3, recipe.crop_size, recipe.crop_size),
                crop_pct=recipe.crop_size / ((least + most) // 2),
                class_names=training.class_names,
                description=f"trained by the recipe {args.recipe} on {args.data}",
            )
            write_json(
                folder / "results.json",
                {
                    "recipe": args.recipe,
                    "settings": asdict(recipe),
                    "data": {
                        "spec": args.data,
                        "classes": len(training.class_names),
                        "training_images": len(training),
                        "validation_images": len(validation),
                        "mean": mean,
                    },
                    "steps": steps,
                    "processes": accelerator.num_processes,
                    "weights_sha256": sha256(folder / WEIGHTS),
                    "results": results,
                    "example": example(net, validation, protocols(recipe)[0], mean),
                    **made_by,
                },
            )
            plot_learning_curve(folder / "metrics.csv", folder / "learning_curve.png", args.recipe)
    for name, result in results.items():
        accelerator.print(
            f"{name}: top-1 error {result['top1']:.2%}, top-5 error {result['top5']:.2%} of {result['images']} images"
        )
    accelerator.print(f"wrote {WEIGHTS}, {CONFIG}, metrics.csv, results.json and learning_curve.png to {args.output}")
    accelerator.end_training()


def main() -> None:
    """Run; a mistake of the user ends in one line, not in a traceback."""
    try:
        run(arguments())
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
