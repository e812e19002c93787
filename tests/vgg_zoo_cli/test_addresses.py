"""Photos from a real server on this machine."""

import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import serving
from tests.vgg_zoo_cli.conftest import Run


def png() -> bytes:
    """Of 100 × 80 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (100, 80), (200, 10, 30)).save(file, "PNG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """A photo, and a file that is none."""

    def do_GET(self) -> None:
        """By path."""
        body = {"/a.png": png(), "/page": b"<html>no photo</html>"}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    with serving(Handler) as address:
        yield address


def test_predict_takes_addresses(
    server: str, net: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the same photo on the disk; a page that is no photo is named."""
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(png())
    expected = run("predict", "a.png", "--model", net)
    found = run("predict", f"{server}/a.png", f"{server}/page", f"{server}/nothing", "--model", net)
    assert (expected.code, found.code) == (0, 1)
    assert [row[1:] for row in found.rows] == [row[1:] for row in expected.rows]
    assert {row[0] for row in found.rows[1:]} == {f"{server}/a.png"}
    assert f"unreadable: {server}/page: no image format that Pillow knows" in found.err
    assert f"unreadable: {server}/nothing: the server says 404 Not Found" in found.err
