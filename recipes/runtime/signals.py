"""Requests to stop: SIGTERM, SIGUSR1 (as Slurm sends it before the time is over) or SIGINT (Ctrl-C)."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType

_PR_SET_PDEATHSIG = 1  # of Linux' sys/prctl.h

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGUSR1: 143, signal.SIGINT: 130}
"""Exit codes by signal: shells and schedulers read them as "ended by SIGTERM" and "ended by SIGINT"."""


class StoppedError(BaseException):
    """A signal asked the command to stop.

    It is no `Exception`, like Python's own `KeyboardInterrupt`. It is raised wherever the main thread is, and code that
    treats any exception as a damaged image would otherwise skip this image and continue.

    Attributes:
        code: The command's exit code.
    """

    def __init__(self, code: int, message: str = "stopped; the same command resumes") -> None:
        super().__init__(code, message)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[1])


class StopRequest:
    """The request of signals to this process: an exit code, or 0 if no signal came.

    Outside of `deferred`, the first signal raises `StoppedError` in the main thread. Within it, signals are only
    recorded: the work itself checks `code` where it can stop. A second signal has no effect.
    """

    def __init__(self) -> None:
        self.code = 0
        self._is_deferred = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Handle the signals of this process within the block; afterwards, the previous handlers are restored."""
        if threading.current_thread() is not threading.main_thread():  # other threads get no signals in Python
            yield
            return
        self.code = 0
        before = {number: signal.signal(number, self._came) for number in EXIT_CODES}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only record signals within the block."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _came(self, number: int, frame: FrameType | None) -> None:
        first, self.code = not self.code, max(self.code, EXIT_CODES[signal.Signals(number)])
        if first and not self._is_deferred:
            raise StoppedError(self.code)


STOP = StopRequest()
"""The state of this process: signals belong to a process, not to a part of it."""


def begin_worker(worker: int = 0) -> None:
    """Set up a process that loads images: it ends with its owner, and passes signals on to it.

    Schedulers send a signal to all processes of a job. The owner finishes its work first, and needs its workers for it.
    """
    die_with_parent(signal.SIGKILL)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)
        Thread(target=_hand_on, args=(os.getppid(),), daemon=True).start()
    else:  # macOS
        for number in EXIT_CODES:
            signal.signal(number, signal.SIG_IGN)


def _hand_on(owner: int) -> None:
    """Pass signals on, except the owner's own, when a `DataLoader` ends a worker."""
    while True:
        came = signal.sigwaitinfo(EXIT_CODES)
        if came.si_pid == owner:
            os._exit(128 + came.si_signo)
        os.kill(owner, came.si_signo)


def end_process() -> None:
    """Ignore further signals at the end of the command's process, and wait for no worker."""
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
    for worker in multiprocessing.active_children():
        worker.kill()


def die_with_parent(number: signal.Signals) -> None:
    """Let Linux send this process a signal when its parent ends; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
