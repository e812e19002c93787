"""A real server on this machine that is broken in every way that servers are."""

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vgg_zoo.weights.download import RemoteFile

CONTENT = bytes(range(256)) * 20_000
Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Server:
    """Answers each request with the next of its answers, the last one for ever; keeps the ranges asked for."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [whole]
        self.ranges: list[str | None] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.ranges.append(self.headers.get("Range"))
                answer = owner.answers[min(len(owner.ranges), len(owner.answers)) - 1]
                start = int((owner.ranges[-1] or "bytes=0-")[len("bytes=") : -1])
                answer(self, start)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def file(self, content: bytes = CONTENT) -> RemoteFile:
        """The file as it was published."""
        url = f"http://127.0.0.1:{self.http.server_port}/weights.caffemodel"
        return RemoteFile(url, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


def answer(code: int, body: bytes = b"", cut: int | None = None, **headers: str) -> Answer:
    """Always the same; `cut` bytes of the body and then nothing more."""

    def send(request: BaseHTTPRequestHandler, start: int) -> None:
        request.send_response(code)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body[:cut])

    return send


def whole(request: BaseHTTPRequestHandler, start: int) -> None:
    """What a good server says."""
    if start:
        ranged(start)(request, start)
    else:
        answer(200, CONTENT)(request, start)


def ranged(begin: int, cut: int | None = None) -> Answer:
    """The bytes from a place on, whatever was asked for."""
    place = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return answer(206, CONTENT[begin:], cut, Content_Range=place)
