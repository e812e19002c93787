"""A folder into which every process writes its part: all machines must see the same folder."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator

from recipes.runtime.processes import from_main, together

PATIENCE = 40.0
"""Seconds until another machine must see a new file: NFS refreshes a folder every 30 seconds."""


def check_shared(accelerator: Accelerator, folder: Path) -> None:
    """Refuse, before any work is done, a folder that is not the same on all machines; called by all processes.

    Process 0 writes a file with a new name into it, and all processes must see this file.

    Raises:
        ValueError: A process does not see it.
    """
    if accelerator.num_processes == 1:
        return

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".seen-*"):  # of a job that was killed
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
    """Wait for a file that another process wrote into a folder.

    Args:
        is_seen: Whether the file exists.
        who: The beginning of a sentence.
        folder: The folder that all processes should share.

    Raises:
        ValueError: The file does not appear.
    """
    deadline = time.monotonic() + PATIENCE
    while not is_seen():
        if time.monotonic() > deadline:
            raise ValueError(
                f"{who} wrote into {folder}: each process writes its part there, so it must be a folder that all "
                "machines share; name one with --output"
            )
        time.sleep(0.2)
