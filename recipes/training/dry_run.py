"""A try of a recipe on this hardware without any data: what it needs, and how fast it is."""

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
from PIL import Image

from recipes.data.boxed_images import BoxedImages
from recipes.recipe import Recipe
from recipes.runtime.processes import end_training, make_accelerator
from recipes.training.objective import Splits
from recipes.training.run_folder import RunFolder
from recipes.training.setup import assemble
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS

_CLASSES = 1000
_SIZE = (500, 375)


def made_up_splits(images: int) -> Splits:
    """Noisy JPEGs of ImageNet's usual size, of 1000 classes, with an object in the middle of each."""
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
    """Build everything, run `args.dry_run` steps, write the net; print memory and rate, and leave nothing.

    Args:
        recipe: Any; the net begins with random weights.
        args: The command line of recipes/train.py.
    """
    accelerator = make_accelerator(None, args.precision, args.deterministic, args.bf16_gradients)
    with tempfile.TemporaryDirectory() as folder:
        splits = made_up_splits(args.dry_run * recipe.batch_size)
        colours = recipe.colours or IMAGENET_COLOURS
        training = assemble(recipe, args, splits, colours, None, RunFolder(Path(folder)), accelerator)
        training.learner.begin_epoch(recipe.learning_rate)
        accelerator.print(
            f"dry run of {args.recipe}: {recipe.model} in {accelerator.num_processes} process(es) on "
            f"{accelerator.device.type}, batches of {recipe.batch_size} images"
        )
        seconds = 0.0
        started = time.perf_counter()
        for batch in training.loader:
            loss = accelerator.reduce(training.learner.step(training.step, batch), "sum").item()
            training.step += 1
            seconds, started = time.perf_counter() - started, time.perf_counter()
            accelerator.print(f"step {training.step}: loss {loss:.4g}, {seconds:.2f} s")
        if accelerator.is_main_process:
            training.write_net(training.learner.net, Path(folder))
    accelerator.print(
        f"{recipe.batch_size / seconds:.1f} images/s in the last step; peak memory {_peak(accelerator.device):.2f} GB "
        "in each process; wrote and removed the net's folder; nothing is left"
    )
    del training
    end_training(accelerator)


def _peak(device: torch.device) -> float:
    """GB in use at the most, on the device, or in this process where that is the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
