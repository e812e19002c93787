"""A connection from each process to process 0, by which the kernel tells when a machine is gone.

Sums over processes (gloo's and NCCL's) wait for ten minutes for a machine that lost its power or its network: nobody
tells the other end. On this connection the kernel asks every few seconds whether the other machine is there, and it
answers for processes that are busy, paged out or stopped.
"""

import os
import secrets
import socket
import sys
import time
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from recipes.runtime.lock import release

SILENCE = (10, 5, 4)
"""Seconds of silence before the kernel asks, seconds between questions, and how many remain unanswered: 30 s in all."""

GRACE = 5.0
"""Seconds that a process has, after another one ended, to find it out by itself, and say what it was doing."""

_GOODBYE = b"."
_held: list[socket.socket] = []
_ending = Lock()


def hold_on(accelerator: Accelerator) -> None:
    """Connect this process with process 0; called by all processes, before any work. One machine needs none."""
    world, rank = accelerator.num_processes, accelerator.process_index
    if world == 1 or os.environ.get("LOCAL_WORLD_SIZE") == str(world):
        return
    listener = _listener() if rank == 0 else None
    told: list[Any] = [(listener.getsockname()[:2], secrets.token_bytes()) if listener else None]
    broadcast_object_list(told)
    place, password = told[0]
    failures = gather_object([_connect(place, password, rank) if rank else None])
    if listener:
        with listener:
            _accept(listener, password, world - 1 - sum(map(bool, failures)))
        for failure in filter(None, failures):
            print(f"note: {failure}; should its machine die, that is noticed after ten minutes only", file=sys.stderr)


def let_go(ended_well: bool) -> None:
    """Watch no longer; if this process ends as it should, tell the others that they need not follow it."""
    while _held:
        connection = _held.pop()
        if ended_well:
            with suppress(OSError):
                connection.sendall(_GOODBYE)


def _listener() -> socket.socket:
    """On the address by which this process reaches the one by which the processes found each other."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)  # sends nothing
        own = probe.getsockname()[0]
    return socket.create_server((own, 0), family=family, backlog=1024)


def _connect(place: tuple[str, int], password: bytes, rank: int) -> str | None:
    """Connect with process 0; what is wrong if that fails."""
    try:
        connection = socket.create_connection(place, timeout=30)
        connection.sendall(password)
    except OSError as error:
        return f"process {rank} cannot reach process 0 at {place[0]}, port {place[1]} ({error})"
    _watch(connection)
    return None


def _accept(listener: socket.socket, password: bytes, count: int) -> None:
    """Take so many connections of this job; one of anybody else is closed."""
    listener.settimeout(60)
    while count:
        connection = listener.accept()[0]
        connection.settimeout(10)
        with suppress(OSError):
            if connection.recv(len(password), socket.MSG_WAITALL) == password:
                _watch(connection)
                count -= 1
                continue
        connection.close()


def _watch(connection: socket.socket) -> None:
    """Have the kernel ask, and a thread wait for what it says."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), SILENCE, strict=True):
        if hasattr(socket, name):  # else the system's own patience counts
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    _held.append(connection)
    Thread(target=_wait_for_its_end, args=(connection,), daemon=True).start()


def _wait_for_its_end(connection: socket.socket) -> None:
    with connection:
        try:
            if connection.recv(1) == _GOODBYE:
                return
            why = "Connection closed"
        except OSError as error:
            why = error.strerror or str(error)
    time.sleep(GRACE)
    if connection in _held and _ending.acquire(blocking=False):
        end(why)


def end(why: str) -> None:
    """End this process, which may wait in a sum for one that is gone, and run no more Python."""
    said = f"\nerror: another process of the job is gone ({why}); the same command resumes"  # below a progress bar
    print(said, file=sys.stderr, flush=True)
    release()
    os._exit(1)
