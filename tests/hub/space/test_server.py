"""What the Space's server grants to programs that are no browsers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub.space.made import PHOTO, ROOT, skip_module

try:
    import gradio  # noqa: F401 (the server needs it)
except ImportError as error:
    skip_module(error)

pytestmark = pytest.mark.slow

SETTINGS = ["dense", [64], "", True]


def test_a_client_that_keeps_to_no_rules_gets_nothing(server: Any, folders: list[Path]) -> None:
    """Neither files of the server, nor other nets, nor an endpoint of its own."""
    settings = [str(folders[0]), *SETTINGS]
    for path in ("/etc/passwd", str(folders[0] / "config.json")):
        answer = server.call("take", [{"path": path, "meta": {"_type": "gradio.FileData"}}, *settings])
        assert answer["success"] is False
        assert "root:" not in json.dumps(answer)
    assert "not in the list of choices" in server.call("test", [None, "/tmp", *SETTINGS])["output"]["error"]  # noqa: S108
    answer = server.call("test", ["/etc/passwd", *settings])  # the path is the server's, not the client's
    assert "there is no photo yet" in json.dumps(answer)
    for example in (99, str(PHOTO), ["/etc/passwd"]):
        assert server.call("take_example", [example, *settings])["success"] is False
    for path in ("file=/etc/passwd", f"file={folders[0]}/config.json", "call/test", "proxy=http://127.0.0.1/"):
        assert httpx.get(f"{server.address}/gradio_api/{path}").status_code in (400, 403, 404, 405)
    endpoints = httpx.get(f"{server.address}/gradio_api/info").json()
    assert endpoints == {"named_endpoints": {}, "unnamed_endpoints": {}}


@pytest.mark.parametrize("event", ["take", "offer", "test"])
@pytest.mark.parametrize("address", ["{server}/config", "https://example.com/a.jpg", "HTTP://example.com/a.jpg"])
def test_nothing_is_fetched_for_a_client(server: Any, event: str, address: str) -> None:
    """Whatever event it names an address in; `server` fails where its process has left the machine."""
    address = address.format(server=server.address)
    asked = {"path": address, "meta": {"_type": "gradio.FileData"}}
    for data in ([asked], [None, None, {"value": [asked]}]):
        answer = server.join(event, data, "session")
        assert answer.status_code == 403
        assert answer.json() == {"detail": f"photos are uploaded, not fetched from {address}"}
    request = {"data": [asked], "fn_index": 0, "session_hash": "session"}
    hidden = json.dumps(request).replace("http", "\\u0068ttp")
    paths = {"queue/join?x=/gradio_api/upload": 403, "run/upload": 403, "run/gradio_api%2Fupload": 404}
    for path, status in paths.items():
        for kind in ({"content-type": "application/json"}, {"content-type": "application/x+json; charset=utf-8"}, {}):
            answer = httpx.post(f"{server.address}/gradio_api/{path}", content=hidden, headers=kind)
            assert answer.status_code == status, path


def test_a_port_that_is_taken_is_named(server: Any, folders: list[Path]) -> None:
    """In one line, with exit code 1."""
    port = server.address.rpartition(":")[2]
    command = [sys.executable, "hub/space/app.py", "--model", str(folders[0]), "--port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_is_missing_or_too_old_is_told(tmp_path: Path) -> None:
    """With the way to install it, and exit code 1."""
    (tmp_path / "gradio.py").write_text("raise ImportError('cannot import name x from gradio')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "hub/space/app.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    expected = "error: cannot import name x from gradio; install what the page needs: pip install -e '.[space]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_one_photo_is_tested_at_a_time(folders: list[Path], tmp_path: Path) -> None:
    """However it is asked for: dropped, an example, or again."""
    script = (
        "import json, sys; from pathlib import Path; from hub.space import app; "
        "page = app.Page(app.Nets([sys.argv[1]]), Path(sys.argv[2])); "
        "events = page.blocks.fns.values(); "
        "print(json.dumps({one.api_name: [one.concurrency_id, one.concurrency_limit] for one in events}))"
    )
    command = [sys.executable, "-c", script, str(folders[0]), str(tmp_path)]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert found["take"] == found["take_example"] == found["test"] == ["test", 1]
