"""Images by their addresses, from a server in this process."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.helpers import serving
from vgg_zoo.images import urls
from vgg_zoo.images.decoding import BadImageError
from vgg_zoo.images.urls import fetched, is_url

BODY = bytes(range(256)) * 5000


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One of the cases of the tests below."""
        self.close_connection = True
        if self.path.startswith("/to/"):
            self.answer(302, b"", Location=self.path.removeprefix("/to/"))
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 50_000):
                part = BODY[start : start + 50_000]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/short":
            self.answer(200, BODY[:1000], length=len(BODY))
        elif self.path == "/photo.jpg":
            self.answer(200, BODY)
        else:
            self.answer(404, b"nothing")

    def answer(self, code: int, body: bytes, length: int | None = None, **headers: str) -> None:
        """Status, headers and body."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    with serving(Handler) as address:
        yield address


def test_the_bytes_come_whole(server: str) -> None:
    """With a length, in chunks, and after redirections."""
    for path in ("/photo.jpg", "/chunked", f"/to/{server}/photo.jpg", "/to//photo.jpg"):
        assert fetched(server + path) == BODY


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://localhost/a.jpg", "data://a", "photo.jpg"])
def test_other_schemes_are_refused(url: str, server: str) -> None:
    """By the caller and by a server that redirects."""
    with pytest.raises(BadImageError, match=r"cannot be fetched: only http and https addresses are downloaded; give a"):
        fetched(url)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://localhost/a.jpg"])
def test_a_redirection_to_another_scheme_is_refused(url: str, server: str) -> None:
    """Named with the other address."""
    with pytest.raises(BadImageError, match=f"(?i)redirect.* '?{url}"):
        fetched(f"{server}/to/{url}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere", "the server says 404 Not Found"),
        ("/short", "it cannot be fetched: the connection ended after 1,000 of 1,280,000 bytes"),
    ],
)
def test_errors_name_the_reason(path: str, message: str, server: str) -> None:
    """Of the server, and of the connection."""
    with pytest.raises(BadImageError, match=message):
        fetched(server + path)


def test_nobody_there_is_named(server: str) -> None:
    """A port where nothing listens, and an address that is none."""
    with pytest.raises(BadImageError, match=r"it cannot be fetched: .*refused"):
        fetched("http://127.0.0.1:1/a.jpg")
    for url in ("http://", "http://[", "http://a b/c.jpg", "http://a:b/c.jpg"):
        with pytest.raises(BadImageError, match="cannot be fetched: "):
            fetched(url)


@pytest.mark.parametrize("path", ["/photo.jpg", "/chunked"])
def test_too_large_a_file_is_refused(path: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its length, or when more has come."""
    monkeypatch.setattr(urls, "MOST_BYTES", 2**20)
    with pytest.raises(BadImageError, match="it cannot be fetched: it has more than 1 MiB; download it yourself"):
        fetched(server + path)


@pytest.mark.parametrize("path", ["/photo.jpg", "/to//photo.jpg"])
def test_a_slow_server_is_given_up(path: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file has so many seconds, redirections included."""
    clock = iter(range(0, 1000, 31))
    monkeypatch.setattr(urls, "monotonic", lambda: next(clock))
    with pytest.raises(BadImageError, match=r"it takes more than 30 seconds; download it yourself and give its path"):
        fetched(server + path)


def test_addresses_are_told_from_paths() -> None:
    """By their scheme, in either case."""
    assert all(map(is_url, ("http://a/b.jpg", "HTTPS://a", "file:///a", "s3://a/b")))
    assert not any(map(is_url, ("photo.jpg", "/a/b.jpg", "C:\\a.jpg", "a:b", "http:/a")))
