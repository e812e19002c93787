"""The batches of a run on its device: processes load pieces of them, and they are sent while the net computes."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from recipes.runtime.loader import ImageLoader
from recipes.training.batches import Batch, GlobalBatches, collated

_LEAST = 8
"""Minimum images of a piece, because each piece costs a message between processes."""


class Pieces(Sampler[list[tuple[int, int]]]):
    """This process's share of every global batch, divided into tasks of `size` images.

    So all workers load the same batch together, and the first batch of an epoch comes early.
    """

    def __init__(self, batches: GlobalBatches, size: int) -> None:
        self.batches, self.size = batches, size
        self.per_batch = math.ceil((batches.share.stop - batches.share.start) / size)

    def __len__(self) -> int:
        return len(self.batches) * self.per_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for share in self.batches:
            yield from (share[start : start + self.size] for start in range(0, len(share), self.size))


def task_size(share: int, workers: int) -> int:
    """Images of a task, so that all workers load one share of a batch together."""
    return max(min(share, _LEAST), math.ceil(share / workers)) if workers else share


class Feed:
    """Iterates over the rest of the sampler's epoch, batch by batch.

    Args:
        crops: Items by (epoch, index).
        batches: The sampler of the items.
        workers: Number of processes that load images; they persist from epoch to epoch.
        device: Device of this process.
    """

    def __init__(self, crops: Dataset[Any], batches: GlobalBatches, workers: int, device: torch.device) -> None:
        size = task_size(batches.share.stop - batches.share.start, workers)
        self.pieces, self.device = Pieces(batches, size), device
        on_gpu = device.type == "cuda"
        self._stream: Any = torch.cuda.Stream(device) if on_gpu else None
        self.loader = ImageLoader(
            crops,
            batch_sampler=self.pieces,
            collate_fn=collated,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=on_gpu,
        )

    def __iter__(self) -> Iterator[Batch]:
        pieces = iter(self.loader)
        while found := list(islice(pieces, self.pieces.per_batch)):
            yield self._sent(found) if self._stream is None else self._sent_aside(found)

    def close(self) -> None:
        """End the processes that load images; no batch can follow."""
        self.loader._iterator = None

    def _sent_aside(self, pieces: list[Batch]) -> Batch:
        """Copy on a separate stream while the GPU still computes the previous batch."""
        now = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            batch = self._sent(pieces)
        now.wait_stream(self._stream)
        for tensor in batch[:4]:
            tensor.record_stream(now)  # so that its memory is reused only after the net has used it
        return batch

    def _sent(self, pieces: list[Batch]) -> Batch:
        sent = [[x.to(self.device, non_blocking=True) for x in piece[:4]] for piece in pieces]
        pixels, labels, colours, boxes = (_joined(field) for field in zip(*sent, strict=True))
        return Batch(pixels, labels, colours, boxes, [problem for piece in pieces for problem in piece.problems])


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
