"""What a process hears of process 0, and process 0 of the others."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Event

import pytest

from recipes.runtime import lifeline


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Why this process would have ended; the watched connections are let go."""
    reasons: list[str] = []
    monkeypatch.setattr(lifeline, "GRACE", 0)
    monkeypatch.setattr(lifeline, "end", reasons.append)
    yield reasons
    lifeline.let_go(False)
    if lifeline._ending.locked():
        lifeline._ending.release()


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        return here, server.accept()[0]


def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[socket.socket, Event]:
    """The other end of a connection that is watched here, and the sign that the watch is over."""
    here, there = connected()
    over, wait = Event(), lifeline._wait_for_its_end

    def waiting(connection: socket.socket) -> None:
        wait(connection)
        over.set()

    monkeypatch.setattr(lifeline, "_wait_for_its_end", waiting)
    lifeline._watch(here)
    return there, over


def test_a_process_follows_one_that_ended_without_a_word(ended: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel closes the connections of a process that was killed."""
    there, over = watched(monkeypatch)
    there.close()
    assert over.wait(30)
    assert ended == ["Connection closed"]


def test_it_follows_none_that_said_goodbye(ended: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has done its part; process 0 may still write what it found."""
    there, over = watched(monkeypatch)
    there.sendall(lifeline._GOODBYE)
    there.close()
    assert over.wait(30)
    assert ended == []


def test_a_process_that_ends_itself_watches_no_longer(ended: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error it says nothing, so that the others follow; after its work it says goodbye."""
    for well, said in ((False, b""), (True, lifeline._GOODBYE)):
        there, over = watched(monkeypatch)
        lifeline.let_go(ended_well=well)
        there.shutdown(socket.SHUT_WR)
        assert over.wait(30)
        there.settimeout(30)
        if said:
            assert there.recv(1) == said
        there.close()
    assert ended == []


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system has other names for it")
def test_the_kernel_asks_soon_enough(ended: list[str]) -> None:
    """A machine that is gone ends another one within a minute, and those that hear it from that one too."""
    here, there = connected()
    lifeline._watch(here)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    idle, between, count = (here.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)
    assert here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + between * count + 2 * 5 < 50
    lifeline.let_go(True)
    there.close()


def test_only_processes_of_the_job_are_let_in(ended: list[str]) -> None:
    """A stranger's connection neither takes a place nor ends the run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        stranger = socket.create_connection(place)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + b" " * 32)
        assert lifeline._connect(place, b"x" * 32, 1) is None
        lifeline._accept(server, b"x" * 32, 1)
        assert len(lifeline._held) == 2  # both ends
    stranger.settimeout(30)
    with suppress(ConnectionError):  # what it sent was not all read
        assert stranger.recv(1) == b""
    stranger.close()


def test_what_cannot_be_reached_is_named() -> None:
    """A firewall between the machines is not an error of a run; a note reports it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
    assert f"process 3 cannot reach process 0 at 127.0.0.1, port {place[1]} (" in str(lifeline._connect(place, b"", 3))
