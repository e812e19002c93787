"""Processes that load images ahead of the net."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from torch.utils.data import DataLoader, Dataset

from recipes.runtime.signals import begin_worker

_PAUSE = 0.05
_TASK = 8  # images: sending each image separately costs the owner as much as using it


class ImageLoader(DataLoader[Any]):
    """A `DataLoader` whose workers end with their owner, pass signals on to it, and are forked at a quiet moment.

    After Python's fork, the child waits for ever if another thread ended in that instant (seen with 3.11: the new
    process needs a lock that the thread had). After a pause, the threads of the previous loader's workers have ended.
    """

    def __init__(self, images: Dataset[Any], **options: Any) -> None:
        super().__init__(images, worker_init_fn=begin_worker, **options)

    def __iter__(self) -> Any:
        if self.num_workers > 0 and self._iterator is None:  # persistent workers exist already
            time.sleep(_PAUSE)
        return super().__iter__()


class EachOf:
    """Some items of a dataset, each once in every pass, unchanged and in this order.

    Args:
        images: The dataset.
        order: Indices of the items.
        workers: Number of processes that load the next items meanwhile. They wait for the next pass.
    """

    def __init__(self, images: Dataset[Any], order: Sequence[int], workers: int = 0) -> None:
        self.images, self.order = images, order
        options = {"batch_size": _TASK, "collate_fn": list, "num_workers": workers, "persistent_workers": workers > 0}
        self._loader = ImageLoader(images, sampler=order, **options)

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self._loader) if self.order else iter(())
