"""A trial of a recipe on this hardware without data: its memory and its speed."""

import argparse
import io
import resource
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from recipes.data.boxed_images import BoxedImages
from recipes.recipe import Recipe
from recipes.runtime.processes import end_training
from recipes.runtime.work import begin_processes
from recipes.training.batches import Batch
from recipes.training.loop import Training
from recipes.training.objective import Splits
from recipes.training.rates import measured
from recipes.training.run_folder import RunFolder
from recipes.training.setup import assemble, net_of
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS

_CLASSES = 1000
_SIZE = (500, 375)


def made_up_splits(images: int) -> Splits:
    """Noisy JPEGs with ImageNet's usual size and 1000 classes, and with an object in the middle of each."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize(_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    names = [str(number) for number in range(_CLASSES)]
    features = datasets.Features(
        image=datasets.Image(decode=False),
        label=datasets.ClassLabel(names=names),
        boxes=datasets.List(datasets.List(datasets.Value("float64"))),
        box_problem=datasets.Value("string"),
    )
    columns = {
        "image": [{"bytes": file.getvalue(), "path": None}] * images,
        "label": generator.integers(0, _CLASSES, images).tolist(),
        "boxes": [[[100.0, 100.0, 400.0, 300.0]]] * images,
        "box_problem": [""] * images,
    }
    rows = datasets.Dataset.from_dict(columns, features=features)
    training, validation = (BoxedImages(name, rows, tuple(names)) for name in ("training", "validation"))
    return Splits(training, validation)


def dry_run(recipe: Recipe, args: argparse.Namespace) -> None:
    """Build everything, run `args.dry_run` steps, write the net, print memory and rates, and remove all files.

    Args:
        recipe: Any recipe; the net begins with random weights.
        args: The command line of recipes/train.py.
    """
    accelerator = begin_processes(args)
    with tempfile.TemporaryDirectory() as folder:
        splits = made_up_splits(args.dry_run * recipe.batch_size)
        colours = recipe.colours or IMAGENET_COLOURS
        net, _ = net_of(recipe, None, _CLASSES, accelerator)
        training = assemble(recipe, args, splits, net, colours, RunFolder(Path(folder)), accelerator)
        accelerator.print(
            f"dry run of {args.recipe}: {recipe.model} in {accelerator.num_processes} process(es) on "
            f"{accelerator.device.type} in {args.precision}, batches of {recipe.batch_size} images"
        )
        batch, rate = _steps(training, accelerator)
        peak = _peak(accelerator.device)
        rates = measured(training.learner, training.feed, batch, rate, args.dry_run)
        if accelerator.is_main_process:
            training.write_net(training.learner.net, Path(folder))
    accelerator.print(rates.sentences(args.workers))
    accelerator.print(f"peak memory {peak:.2f} GB in each process; wrote and removed the net's folder; nothing is left")
    del training
    end_training(accelerator)


def _steps(training: Training, accelerator: Accelerator) -> tuple[Batch, float]:
    """Train on all batches of the made-up set; returns the last batch, and images a second from the second step."""
    is_cpu, images = accelerator.device.type == "cpu", 0
    training.learner.begin_epoch(training.recipe.learning_rate)
    since = started = time.perf_counter()
    for batch in training.feed:
        loss = training.learner.step(training.step, batch)
        training.step += 1
        images += len(batch.labels)
        if is_cpu or training.step == 1:  # do not wait for a GPU between steps
            told = accelerator.reduce(loss, "sum").item()
            seconds, since = time.perf_counter() - since, time.perf_counter()
            accelerator.print(f"step {training.step}: loss {told:.4g}, {seconds:.2f} s")
        if training.step == 1 and len(training.batches) > 1:
            images, started = 0, time.perf_counter()
    if not is_cpu:
        told = accelerator.reduce(loss, "sum").item()
        seconds = (time.perf_counter() - started) / max(1, training.step - 1)
        accelerator.print(f"step {training.step}: loss {told:.4g}, {seconds:.4f} s a step from the second on")
    return batch, images / (time.perf_counter() - started)


def _peak(device: torch.device) -> float:
    """Peak memory in GB, of the device, or of this process if the device is the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
