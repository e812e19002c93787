"""Waiting as long as the other processes of a job are alive: each gives signs of life, and says what it does."""

import sys
import time
from itertools import count
from threading import Event, Thread
from types import TracebackType

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

BEAT = 2.0
"""Seconds between two signs of life."""

MOST_SILENCE = 60.0
"""Seconds without a sign after which a process is given up."""

SAID_AFTER = 60.0
"""Seconds of waiting after which a message is printed."""

_calls = count()


class SignsOfLife:
    """Signs of life while the block runs; at its end, this process waits for the blocks of the others.

    Signs go through the store of the rendezvous. If the store is gone with the launcher, this process does not wait,
    and the next collective waits for its own timeout.

    Args:
        rank: Rank of this process.
        what: What all processes do, in words.

    Raises:
        ValueError: At the end, if a process gave no sign for too long.
    """

    def __init__(self, rank: int, what: str) -> None:
        self.rank, self.what = rank, what
        self._store = dist.PrefixStore(f"signs_of_life/{next(_calls)}", _get_default_store())
        self._ended = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            for other in range(dist.get_world_size()):
                if other != self.rank:
                    self._wait_for(other)

    def _beat(self) -> None:
        try:
            for number in count():
                self._store.set(f"alive/{self.rank}", str(number))
                if self._ended.wait(BEAT):
                    break
            self._store.set(f"ended/{self.rank}", "")
        except RuntimeError:  # the store is gone
            return

    def _wait_for(self, other: int) -> None:
        sign, pause = b"", 0.001
        begin = since = time.monotonic()
        speaks = self.rank == 0 or (self.rank, other) == (1, 0)
        while (latest := self._sign_of(other)) is not None:
            now = time.monotonic()
            if latest != sign:
                sign, since = latest, now
            elif now - since > MOST_SILENCE:
                raise ValueError(
                    f"process {other} gave no sign of life for {MOST_SILENCE:.0f} s while it was {self.what}; give "
                    "the same command again"
                )
            if speaks and now - begin > SAID_AFTER:
                print(f"process {self.rank} waits for process {other}, which is {self.what}", file=sys.stderr)
                speaks = False
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def _sign_of(self, other: int) -> bytes | None:
        """The latest sign; None if the process has finished, or if this is unknown."""
        try:
            if self._store.check([f"ended/{other}"]):
                return None
            alive = f"alive/{other}"
            return bytes(self._store.get(alive)) if self._store.check([alive]) else b""
        except RuntimeError:  # the store is gone
            return None
