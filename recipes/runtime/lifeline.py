"""A connection from each process to process 0, on which the kernel detects that a machine is gone.

Sums over processes (gloo's and NCCL's) wait ten minutes for a machine that lost its power or its network, because
nothing tells the other end. On this connection, the kernel probes the other machine every few seconds. The kernel also
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
"""Seconds of silence before the first probe, seconds between probes, and allowed unanswered probes: 30 s in all."""

GRACE = 5.0
"""Seconds for a process to notice by itself that another one ended, and to report what it was doing."""

_GOODBYE = b"."
_held: list[socket.socket] = []
_ending = Lock()


def hold_on(accelerator: Accelerator) -> None:
    """Connect this process with process 0; called by all processes before any work. One machine needs no connection."""
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
    """Stop watching; if this process ends normally, tell the others that they need not end with it."""
    while _held:
        connection = _held.pop()
        if ended_well:
            with suppress(OSError):
                connection.sendall(_GOODBYE)


def _listener() -> socket.socket:
    """Listen on the address by which this process reaches the rendezvous."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)  # sends nothing
        own = probe.getsockname()[0]
    return socket.create_server((own, 0), family=family, backlog=1024)


def _connect(place: tuple[str, int], password: bytes, rank: int) -> str | None:
    """Connect with process 0; returns what is wrong if this fails."""
    try:
        connection = socket.create_connection(place, timeout=30)
        connection.sendall(password)
    except OSError as error:
        return f"process {rank} cannot reach process 0 at {place[0]}, port {place[1]} ({error})"
    _watch(connection)
    return None


def _accept(listener: socket.socket, password: bytes, count: int) -> None:
    """Accept this many connections of this job; other connections are closed."""
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
    """Turn on the kernel's probes, and let a thread wait for the result."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), SILENCE, strict=True):
        if hasattr(socket, name):  # otherwise the system's own time limits hold
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
    """End this process without running more Python, because it may wait in a sum for a process that is gone."""
    said = f"\nerror: another process of the job is gone ({why}); the same command resumes"  # below a progress bar
    print(said, file=sys.stderr, flush=True)
    release()
    os._exit(1)
