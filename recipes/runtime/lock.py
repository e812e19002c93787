"""The lock of a folder, so that no two runs write into it at once. It names its holder, and ends with it."""

import json
import os
import socket
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"
"""Name of the lock file; it exists only while a process writes into the folder, or after this process was killed."""

PATIENCE = 30.0
"""Seconds to wait for a holder: the time that a stopping run may need for its checkpoint."""

_held: dict[Path, int] = {}


def hold(folder: Path, patience: float | None = None) -> None:
    """Hold the lock of a folder until `release`, or until the end of this process and those that it forked.

    The system keeps the lock (`flock`, on NFS that of the server), so a killed holder leaves no lock.

    Args:
        folder: An existing folder.
        patience: Seconds to wait for another holder; None takes `PATIENCE`.

    Raises:
        ValueError: Another process holds it; the message names it.
    """
    file = (folder / LOCK).resolve()
    if file in _held:
        return
    patience = PATIENCE if patience is None else patience
    deadline, said = time.monotonic() + patience, False
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        if _locked(descriptor):
            if _is_there(file, descriptor):
                break
            os.close(descriptor)  # its holder has removed the file meanwhile
            continue
        holder = _holder(descriptor)
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise ValueError(
                f"--output {folder} is in use by {holder}; wait for its end, stop it, or choose another folder"
            )
        if not said:
            print(f"waiting up to {patience:.0f} s for {folder}, which is in use by {holder}", file=sys.stderr)
            said = True
        time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
    _held[file] = descriptor


def remove_stale(folder: Path) -> None:
    """Remove the file of a killed holder; a folder that is locked, or not writable, does not change."""
    if (folder / LOCK).exists():
        with suppress(ValueError, OSError):
            hold(folder, patience=0)
            release()


def release() -> None:
    """Release all locks of this process."""
    while _held:
        file, descriptor = _held.popitem()
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        print(f"warning: this file system has no locks ({error}); do not start two runs in one folder", file=sys.stderr)
    return True


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, str | int]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": Path(sys.argv[0]).name}


def _holder(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {told['pid']} on {told['host']} ({told['command']}) since {told['since']}"
    except (ValueError, KeyError, TypeError):  # it is being written
        return "another process"
