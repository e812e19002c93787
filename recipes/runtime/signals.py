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
"""By signal: what shells and schedulers know as "ended by SIGTERM" and "ended by SIGINT"."""


class StoppedError(BaseException):
    """A signal asked the command to stop.

    It is no `Exception`, like Python's own `KeyboardInterrupt`: it is raised wherever the main thread is, and whoever
    takes any exception there for a damaged image would leave out that image and go on.

    Attributes:
        code: The command's exit code.
    """

    def __init__(self, code: int, message: str = "stopped; the same command resumes") -> None:
        super().__init__(code, message)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[1])


class StopRequest:
    """What signals asked of this process: an exit code, or 0 if none came.

    Outside of `deferred` the first signal raises `StoppedError` where the main thread is. Within it, signals are only
    noted: the work itself looks at `code` where it can stop. A second signal changes nothing.
    """

    def __init__(self) -> None:
        self.code = 0
        self._is_deferred = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take the signals of this process; before and after, they do what they did."""
        if threading.current_thread() is not threading.main_thread():  # where Python takes no signals
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
        """Only note signals."""
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
"""Of this process: signals belong to a process, not to a part of it."""


def begin_worker(worker: int = 0) -> None:
    """What every process that loads images begins with: it ends with its owner, and hands signals on to it.

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
    """Send signals on, but for the owner's own: a `DataLoader` that gives a worker up."""
    while True:
        came = signal.sigwaitinfo(EXIT_CODES)
        if came.si_pid == owner:
            os._exit(128 + came.si_signo)
        os.kill(owner, came.si_signo)


def end_process() -> None:
    """The command is over, and its process ends: what still comes changes nothing, and no worker is waited for."""
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
    for worker in multiprocessing.active_children():
        worker.kill()


def die_with_parent(number: signal.Signals) -> None:
    """Let Linux send this process a signal when its parent ends; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
