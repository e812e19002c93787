"""HTTP: ports, and on each connection requests and their answers; the faults work here."""

import hashlib
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.hub.local_hub.answers import BLOCK, Answer

if TYPE_CHECKING:
    from tests.hub.local_hub.hub import LocalHub


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer, on a connection that is kept."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Listener"

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def serve(self) -> None:
        """Answer, or fail as it is planned."""
        hub = self.server.hub
        self.unread = int(self.headers.get("Content-Length", 0))
        target = unquote(self.path)
        hub.requests.append((self.command, target))
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                raise NotImplementedError(f"{self.command} {target} came in chunks, which S3 does not take either")
            fault = hub.faults.next(self.command, target)
            if fault:
                fault(self)
            else:
                self.send(self.answer())
            self.skip_body()
        except ConnectionError:
            self.close_connection = True
        except Exception:
            hub.errors.append(f"{self.command} {target}\n{traceback.format_exc()}")
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815 - the names are http.server's

    def answer(self) -> Answer:
        """Do what is asked for."""
        return self.server.hub.answer(self)

    def send(self, answer: Answer) -> None:
        """Say it, once all that the client sends was read: else it may see a reset in place of the answer."""
        self.skip_body()
        self.send_response(answer.status)
        for name, value in ({"Content-Length": str(answer.size)} | answer.headers).items():
            self.send_header(name, value)
        if answer.cut is not None:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            for block in answer.blocks():
                self.wfile.write(block)

    def reset(self) -> None:
        """A TCP reset, where closing would be an orderly end."""
        self.close_connection = True
        self.unread = 0
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.connections.discard(self.connection)
        os.close(self.connection.detach())

    def blocks(self, limit: int | None = None) -> Iterator[bytes]:
        """The body as it comes, or its next `limit` bytes."""
        left = self.unread if limit is None else min(limit, self.unread)
        while left > 0:
            block = self.rfile.read(min(BLOCK, left))
            if not block:
                raise ConnectionResetError("the client left")
            left -= len(block)
            self.unread -= len(block)
            yield block

    def read_body(self) -> bytes:
        """All of it that was not read yet."""
        return b"".join(self.blocks())

    def skip_body(self, limit: int | None = None) -> None:
        """Read it, or its next `limit` bytes, and forget it."""
        for _ in self.blocks(limit):
            pass

    def save_body(self, file: Path) -> str:
        """Write it to a file; its sha256."""
        digest = hashlib.sha256()
        with file.open("wb") as out:
            for block in self.blocks():
                digest.update(block)
                out.write(block)
        return digest.hexdigest()

    def log_message(self, *_: object) -> None:
        """Nothing: the Hub keeps what it has seen."""


class Listener(ThreadingHTTPServer):
    """A port of this machine, by one of its names; its threads end with their connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: "LocalHub", name: str) -> None:
        self.hub, self.name = hub, name
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Exchange)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.name}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a connection; that it broke is the client's or a fault's doing."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.hub.errors.append(traceback.format_exc())

    def close(self) -> None:
        """The port and all its connections."""
        self.shutdown()
        self.thread.join()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster
        self.server_close()
