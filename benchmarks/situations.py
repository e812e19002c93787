"""In which situations a pass is timed: alone and warm, after a rest, beside a busy process, or in turn with others."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from benchmarks.timing import interleaved

SITUATIONS = {
    "warm": "alone in a process of its own, one pass after the other",
    "alternating": "in turn with the others in one process",
    "cold": "alone in a process of its own, each pass after 0.3 s of rest",
    "busy": "as warm, beside a niced process that occupies one core",
}
"""In the order of the tables."""

ALONE = ("warm", "cold", "busy")
REST = 0.3

# It ends with the process that started it, however that ends.
_BUSY = "import os\nos.nice(10)\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy_process() -> Iterator[None]:
    """One niced process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY], env={**os.environ, "OMP_NUM_THREADS": "1"})
    time.sleep(0.5)  # until it has begun
    try:
        yield
    finally:
        process.kill()
        process.wait()


def alone(situation: str, run: Callable[[], object], rounds: int, most_seconds: float) -> list[float]:
    """Seconds of each pass, in one of the situations `ALONE`, of an implementation that has run before."""
    with busy_process() if situation == "busy" else nullcontext():
        return interleaved({"": run}, rounds, most_seconds, rest=REST if situation == "cold" else 0)[""]
