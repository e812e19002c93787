"""Disks without space, in this process: a small file system of its own, or files that may not grow."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="Windows limits no files")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A folder on a disk of so many kilobytes; the test is skipped where none can be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: S607


@contextmanager
def small_files(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A folder in which no file grows larger: what needs no rights (the system says EFBIG in place of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FullDisk = Callable[[Path, int], AbstractContextManager[Path]]

FULL_DISKS: dict[str, FullDisk] = {"disk": small_disk, "files": small_files}
