"""Downloads from a real server on this machine that is broken in every way that servers are."""

import threading
from pathlib import Path

import pytest

from tests.vgg_zoo.weights.server import CONTENT, Answer, Server, answer, ranged, whole
from vgg_zoo.weights import download as module
from vgg_zoo.weights.download import RemoteFile, download


def left(target: Path) -> list[str]:
    """The files of a download, except its lock."""
    return sorted(file.name for file in target.parent.iterdir() if file.suffix != ".lock")


def test_a_file_comes_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    """The second call asks no server."""
    target = tmp_path / "cache" / "w"
    download(server.file(), target)
    download(server.file(), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert left(target) == ["w"]


def test_a_broken_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    """A short body, a 503 and another short body: the next connections ask for the rest alone."""
    server.answers = [answer(200, CONTENT, 1000), answer(503), ranged(1000, 500), whole]
    download(server.file(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=1500-"]


def test_what_has_come_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    """A server that goes away: an error that says how far it came; nothing under the file's name."""
    server.answers = [answer(200, CONTENT, 1000), answer(503)]
    with pytest.raises(ValueError, match=r"503.*1,000 of 5,120,000 bytes are there.*resumes the download"):
        download(server.file(), tmp_path / "w")
    assert left(tmp_path / "w") == ["w.incomplete"]
    server.answers = [whole]
    download(server.file(), tmp_path / "w")
    assert server.ranges[-1] == "bytes=1000-"
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_a_server_without_ranges_begins_again(server: Server, tmp_path: Path) -> None:
    """Its 200 is the whole file, which is not appended to the existing part."""
    server.answers = [answer(200, CONTENT, 1000), answer(200, CONTENT)]
    download(server.file(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([answer(200, CONTENT[:-1] + b"x")], "altered"),
        ([answer(200, CONTENT[:-1])], "offers a file of 5,119,999 bytes; the published one has 5,120,000"),
        ([answer(200, CONTENT + b"x")], "offers a file of 5,120,001 bytes"),
        ([answer(200, CONTENT * 2, Content_Length="")], "sends more than the 5,120,000 bytes"),
        ([answer(404)], "the server says 404"),
        ([answer(200, CONTENT, 1000), ranged(999)], "asked for the bytes from 1000"),
        ([answer(200, CONTENT, 0)], "the connection ended early; 0 of"),
    ],
)
def test_another_file_is_never_taken_for_good(
    server: Server, tmp_path: Path, answers: list[Answer], message: str
) -> None:
    """Altered, cut short, oversized with and without saying so, missing, or from another place of the file."""
    server.answers = answers
    with pytest.raises(ValueError, match=message):
        download(server.file(), tmp_path / "w")
    assert "w" not in left(tmp_path / "w")


def test_an_altered_beginning_does_not_stay(server: Server, tmp_path: Path) -> None:
    """After a failed check, the next call starts again, and gets the file."""
    (tmp_path / "w.incomplete").write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="altered"):
        download(server.file(), tmp_path / "w")
    assert left(tmp_path / "w") == []
    download(server.file(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_what_is_there_may_be_longer_than_the_file(server: Server, tmp_path: Path) -> None:
    """It is thrown away."""
    (tmp_path / "w.incomplete").write_bytes(CONTENT * 2)
    download(server.file(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_nobody_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the address and the place where the file belongs."""
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with pytest.raises(ValueError, match=r"cannot download http://127.0.0.1:9/w.*downloaded by other means at .*/w$"):
        download(RemoteFile("http://127.0.0.1:9/w", 5, "sha256:0"), tmp_path / "w")
    with pytest.raises(ValueError, match="only download from http and https"):
        download(RemoteFile("file:///etc/passwd", 5, "sha256:0"), tmp_path / "w")


def test_processes_that_want_the_same_file_fetch_it_once(server: Server, tmp_path: Path) -> None:
    """The others wait and find it there."""
    threads = [threading.Thread(target=download, args=(server.file(), tmp_path / "w")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.ranges == [None]
    assert (tmp_path / "w").read_bytes() == CONTENT
