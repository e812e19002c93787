"""Sums over the images of a split: each image counted exactly once, whatever the number of processes."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from recipes.batches import in_batches, share_of
from recipes.data import Problem

BATCH = 64
"""Images of one shape that go through the net at once, in each process."""


def totals(
    model: nn.Module,
    images: Any,
    measure: Callable[[list[Any]], Tensor],
    columns: int,
    accelerator: Accelerator,
    workers: int = 0,
) -> tuple[list[float], list[Problem]]:
    """Test a net on every image, each process on its share.

    Args:
        model: Put in eval mode, and back as it was.
        images: A dataset with a length, whose items have `pixels`, (3, H, W), and `problem`.
        measure: From items with pixels of one shape to (b, columns) numbers, a row for each.
        columns: How many numbers.
        accelerator: Adds up the sums of the processes.
        workers: Processes that decode images, for each process.

    Returns:
        The sum of each column over all images, and this process's problems.

    Raises:
        RuntimeError: A process lost or repeated an image.
    """
    was_training = model.training
    model.eval()
    sums, problems = torch.zeros(columns + 1, dtype=torch.float64), []
    rank, world = accelerator.process_index, accelerator.num_processes
    for items in in_batches(share_of(images, len(images), rank, world, workers), BATCH):
        rows = measure(items).cpu().double()
        sums += torch.cat([rows.sum(0), rows.new_tensor([len(rows)])])
        problems += [item.problem for item in items if item.problem is not None]
    model.train(was_training)
    kind = torch.float32 if accelerator.device.type == "mps" else torch.float64
    *values, count = accelerator.reduce(sums.to(accelerator.device, kind), "sum").tolist()
    if count != len(images):
        raise RuntimeError(f"tested {count:.0f} images of a split of {len(images)}: a process lost or repeated some")
    return values, problems
