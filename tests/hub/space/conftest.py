"""The Space's page, served by a process of its own, in a real Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx
import pytest

from tests.hub.space.made import REQUIRED, ROOT, net
from vgg_zoo.evaluation import DenseEvaluator

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

GUARD = """
import os, sys

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0"):
        with open(os.environ["LEFT_THIS_MACHINE"], "a") as file:
            print(event, host, file=file)
        raise OSError(f"no network in this test, not even {host}")

sys.addaudithook(guard)
"""
"""Imported by Python when it starts: names and connections that leave the machine are written down and refused."""


HELD_UP = """
import os, runpy, sys, time
from vgg_zoo import explanation

explain = explanation.explain

def held_up(*arguments):
    while os.path.exists(os.environ["HELD_UP"]):
        time.sleep(0.01)
    return explain(*arguments)

explanation.explain = held_up
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""The page's program, whose tests of photos wait as long as a file is there."""


class Server:
    """The page, what its process wrote, and the file that holds up its tests of photos."""

    def __init__(self, address: str, log: Path, hold: Path) -> None:
        self.address, self.log, self.hold = address, log, hold

    @contextmanager
    def tests_held_up(self) -> Iterator[None]:
        """No test of a photo ends inside."""
        self.hold.touch()
        try:
            yield
        finally:
            self.hold.unlink()

    def call(self, name: str, data: list[Any]) -> dict[str, Any]:
        """What the server answers to a client that is no browser and keeps to no rules."""
        session = uuid.uuid4().hex
        self.join(name, data, session).raise_for_status()
        for line in self._get(f"gradio_api/queue/data?session_hash={session}").splitlines():
            if line.startswith("data:") and (event := json.loads(line[5:]))["msg"] == "process_completed":
                return event
        raise AssertionError("the server did not answer")

    def join(self, name: str, data: list[Any], session: str) -> httpx.Response:
        """Ask for an event of some name."""
        config = json.loads(self._get("config"))
        index = next(event["id"] for event in config["dependencies"] if event["api_name"] == name)
        request = {"data": data, "fn_index": index, "session_hash": session}
        return httpx.post(f"{self.address}/gradio_api/queue/join", json=request)

    def _get(self, path: str) -> str:
        return httpx.get(f"{self.address}/{path}", timeout=60).raise_for_status().text


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two nets with different scales of their own."""
    paths = [tmp_path_factory.mktemp("nets") / name for name in ("first", "second")]
    DenseEvaluator(net(), (64, 96, 160)).save_pretrained(paths[0])
    DenseEvaluator(net(1), (64, 128), flip=False).save_pretrained(paths[1])
    return paths


@pytest.fixture(scope="session")
def server(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`python hub/space/app.py` on a free port, on two nets, without a network."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "sitecustomize.py").write_text(GUARD)
    log, left, hold = folder / "log", folder / "left", folder / "hold"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", HELD_UP, "hub/space/app.py", "--model", *map(str, folders), "--port", str(port)]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "LEFT_THIS_MACHINE": str(left),
        "HELD_UP": str(hold),
        "TMPDIR": str(folder),
    }
    environment.pop("SPACE_ID", None)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(lambda: "open http" in log.read_text() or process.poll() is not None, 600)
        assert process.poll() is None, log.read_text()
        yield Server(f"http://127.0.0.1:{port}", log, hold)
    finally:
        process.terminate()
        try:
            code = process.wait(30)
        finally:
            process.kill()
    assert code == 0, log.read_text()
    assert not left.exists(), left.read_text()
    assert not list(folder.glob("vgg_zoo_space_*")), "uploads are left behind"


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium that is installed; none is fetched."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if found is None:
        message = "no Chromium here: apt install chromium (Debian), or Google's Chrome"
        pytest.fail(message) if REQUIRED else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def page(server: Server, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page in a new window. No request may leave the machine, nothing may go wrong in it or in the server."""
    before, wrong = len(server.log.read_text()), []
    window = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
    context = browser.new_context(**window)
    context.set_default_timeout(30_000)
    opened = context.new_page()

    def note_request(request: Any) -> None:
        address = urlparse(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            wrong.append(f"asked {request.url}")

    def note_message(message: Any) -> None:
        # gradio's: it asks how far an upload is, which a small one may have ended before; the browser and its own
        # code then say so.
        ended = "upload_progress" in message.location["url"] or message.text == "Response"
        if message.type == "error" and not ended:
            wrong.append(f"console: {message.text} ({message.location['url']})")

    opened.on("request", note_request)
    opened.on("websocket", note_request)
    opened.on("console", note_message)
    opened.on("pageerror", lambda error: wrong.append(f"page: {error}"))
    opened.goto(server.address)
    opened.get_by_text("Drop a photo to begin.").wait_for()
    yield opened
    context.close()
    assert not wrong
    assert "Traceback" not in server.log.read_text()[before:]
