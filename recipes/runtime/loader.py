"""Processes that load images ahead of the net."""

import time
from typing import Any

from torch.utils.data import DataLoader, Dataset

from recipes.runtime.signals import begin_worker

_PAUSE = 0.05


class ImageLoader(DataLoader[Any]):
    """A `DataLoader` whose workers end with their owner, hand signals on to it, and are forked at a quiet moment.

    Python's fork waits for ever, in the child, if another thread ended in that instant (seen with 3.11: the new process
    wants a lock that the thread had). Those that served the workers of a loader before this one have ended after a
    pause.
    """

    def __init__(self, images: Dataset[Any], **options: Any) -> None:
        super().__init__(images, worker_init_fn=begin_worker, **options)

    def __iter__(self) -> Any:
        if self.num_workers > 0 and self._iterator is None:  # workers that persist are there already
            time.sleep(_PAUSE)
        return super().__iter__()
