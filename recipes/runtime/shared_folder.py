"""A folder into which every process writes its part: all machines must see the same one."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator

from recipes.runtime.processes import from_main, together

PATIENCE = 40.0
"""Seconds until what one machine wrote must be seen by another: NFS asks for a folder's news every 30 seconds."""


def check_shared(accelerator: Accelerator, folder: Path) -> None:
    """Refuse, before any work is done, a folder that is another one on another machine; called by all processes.

    Process 0 writes a file of a new name into it, and all must see that.

    Raises:
        ValueError: One does not.
    """
    if accelerator.num_processes == 1:
        return

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".seen-*"):  # by a job that was killed
            left.unlink(missing_ok=True)
        name = f".seen-{secrets.token_hex(8)}"
        (folder / name).touch()
        return name

    sign = folder / from_main(accelerator, write)
    rank = accelerator.process_index
    try:
        together(accelerator, lambda: wait_for(sign.exists, f"process {rank} does not see what process 0", folder))
    finally:
        if accelerator.is_main_process:
            sign.unlink()


def wait_for(is_seen: Callable[[], bool], who: str, folder: Path) -> None:
    """Wait for what another process wrote into a folder.

    Args:
        is_seen: Whether it is there.
        who: The beginning of a sentence.
        folder: That all should share.

    Raises:
        ValueError: It does not come.
    """
    deadline = time.monotonic() + PATIENCE
    while not is_seen():
        if time.monotonic() > deadline:
            raise ValueError(
                f"{who} wrote into {folder}: each process writes its part there, so it must be a folder that all "
                "machines share; name one with --output"
            )
        time.sleep(0.2)
