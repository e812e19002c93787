"""The folder that a run leaves behind: whole, or not there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse, before any work is done, a folder that cannot be written or that holds something else.

    Raises:
        ValueError: The path is taken and `overwrite` is off, or it is a file.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"--output {path} is a file; name a folder")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise ValueError(f"--output {path} exists already; choose another folder, or replace it with --overwrite")


@contextmanager
def output_folder(path: Path, accelerator: Accelerator) -> Iterator[Path]:
    """A folder beside `path` to write into, which becomes `path` when the block ends well and is removed when it fails.

    A run that is killed leaves the folder `.NAME.partial`, which the next run of the same name replaces.
    """
    partial = path.parent / f".{path.name}.partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    try:
        yield partial
    except BaseException:
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    accelerator.wait_for_everyone()
