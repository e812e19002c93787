"""A Hugging Face Hub on this machine: what huggingface_hub 2.4 asks of the real one, and every way in which it fails.

Its errors' statuses, messages and headers are the real Hub's, since the client decides by them. The large files come
from a second port as they do from a CDN, because the client treats a redirect to the same host differently.
"""

import base64
import hashlib
import json
import math
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.message import Message
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader, BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (
    "safetensors",
    "onnx",
    "bin",
    "ckpt",
    "h5",
    "mlmodel",
    "npy",
    "npz",
    "parquet",
    "pickle",
    "pkl",
    "pt",
    "pth",
    "zip",
)
GIT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE).encode()
LARGEST_REGULAR = 10 * 2**20
BLOCK = 2**20


# ---- what is stored ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Large:
    """A file that git knows by a pointer."""

    sha256: str
    size: int
    xet_hash: str | None = None

    @property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()


File = bytes | Large


def blob_id(file: File) -> str:
    """What `git hash-object` says of it."""
    content = file.pointer if isinstance(file, Large) else file
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One whole state of a repository."""

    id: str
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    files: dict[str, File]


@dataclass(slots=True, kw_only=True)
class PullRequest:
    """Its commits are at `refs/pr/<number>`."""

    number: int
    title: str
    description: str
    author: str
    date: str
    base: str
    status: str = "open"
    merge_commit: str | None = None
    is_pull_request: bool = True


@dataclass(slots=True)
class Repository:
    """Commits by id, and the refs (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) that point to them."""

    id: str
    kind: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    discussions: list[PullRequest] = field(default_factory=list)

    def resolve(self, revision: str) -> Commit:
        """A branch, a tag, a ref or (the beginning of) a commit's id."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        matches = [commit for id_, commit in self.commits.items() if len(revision) >= 7 and id_.startswith(revision)]
        if len(matches) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return matches[0]

    def branch(self, revision: str) -> str:
        """The ref that a commit to a revision moves."""
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        if ref not in self.refs or ref.startswith("refs/tags/"):
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return ref

    def add(self, ref: str, files: dict[str, File], *, title: str, author: str, description: str = "") -> Commit:
        """A commit on top of a ref, which need not exist yet."""
        parent = self.refs.get(ref)
        made_of = [
            parent,
            title,
            description,
            author,
            len(self.commits),
            sorted((p, blob_id(f)) for p, f in files.items()),
        ]
        id_ = hashlib.sha1(json.dumps([self.id, *made_of]).encode(), usedforsecurity=False).hexdigest()
        commit = Commit(
            id=id_, parent=parent, title=title, description=description, author=author, date=now(), files=files
        )
        self.commits[id_] = commit
        self.refs[ref] = id_
        return commit

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Newest first."""
        yield commit
        while commit.parent:
            commit = self.commits[commit.parent]
            yield commit


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who holds a token; its role is "read" or "write"."""

    name: str
    organisations: tuple[str, ...]
    role: str


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


# ---- requests and answers ------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Answer:
    """A response, and what is wrong with its body: a bit of it `flipped`, or the connection `cut` after some bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | Path = b""
    start: int = 0
    stop: int | None = None
    flipped: int | None = None
    cut: int | None = None

    @property
    def size(self) -> int:
        whole = self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)
        return (whole if self.stop is None else self.stop) - self.start

    def blocks(self) -> Iterator[bytes]:
        """The body, never more than a block of it in memory."""
        end = self.start + (self.size if self.cut is None else min(self.cut, self.size))
        with _opened(self.content) as file:
            for begin in range(self.start, end, BLOCK):
                file.seek(begin)
                block = bytearray(file.read(min(BLOCK, end - begin)))
                place = -1 if self.flipped is None else self.start + self.flipped - begin
                if 0 <= place < len(block):
                    block[place] ^= 1
                yield bytes(block)


def _opened(content: bytes | Path) -> BytesIO | BufferedReader:
    return content.open("rb") if isinstance(content, Path) else BytesIO(content)


def as_json(content: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        status=status, content=json.dumps(content).encode(), headers={"Content-Type": "application/json", **headers}
    )


class HubError(Exception):
    """An error as the Hub sends it: JSON, and the headers by which the client chooses its exception."""

    def __init__(self, status: int, message: str, code: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.answer = as_json({"error": message} | more, status)
        self.answer.headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})


@dataclass(slots=True, kw_only=True)
class Request:
    """What the routes see of a request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: Callable[[], bytes]
    save: Callable[[Path], str]
    user: User | None

    def json(self) -> Any:
        return json.loads(self.body() or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("1", "true")


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer, on a connection that is kept; the faults work on it."""

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
        hub = self.server.hub
        self.unread = int(self.headers.get("Content-Length", 0))
        self.gone = False
        target = unquote(self.path)
        hub.seen.append((self.command, target, {name.lower(): value for name, value in self.headers.items()}))
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                raise NotImplementedError(f"{self.command} {target} came in chunks, which S3 does not take either")
            fault = hub.next_fault(self.command, target)
            if fault:
                fault(self)
            else:
                self.send(self.answer())
            self.read_body()
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
        if self.gone:
            return
        for _ in self.blocks():
            pass
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
        self.gone = self.close_connection = True
        self.unread = 0
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.connections.discard(self.connection)
        os.close(self.connection.detach())

    def hang_up(self) -> None:
        """An orderly end without an answer."""
        self.gone = self.close_connection = True

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
        return b"".join(self.blocks())

    def save_body(self, file: Path) -> str:
        """Write it to a file; its sha256."""
        digest = hashlib.sha256()
        with file.open("wb") as out:
            for block in self.blocks():
                digest.update(block)
                out.write(block)
        return digest.hexdigest()

    def log_message(self, *_: object) -> None:
        pass


class Listener(ThreadingHTTPServer):
    """A port; its threads end with their connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: "LocalHub") -> None:
        self.hub = hub
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Exchange)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, OSError)):
            self.hub.errors.append(traceback.format_exc())

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster
        self.server_close()


# ---- faults --------------------------------------------------------------------------------------------------------

Fault = Callable[[Exchange], None]


def status(code: int, message: str = "The Hub is not well", **headers: str) -> Fault:
    """Nothing but an error; `Retry_After="0"` becomes the header Retry-After."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.send(as_json({"error": message}, code, **extra))


def reset(after: int = 0) -> Fault:
    """The connection breaks after so many bytes of the request's body; nothing is done."""

    def fault(exchange: Exchange) -> None:
        for _ in exchange.blocks(after):
            pass
        exchange.reset()

    return fault


def lost_response() -> Fault:
    """All is done, and nobody hears of it."""

    def fault(exchange: Exchange) -> None:
        exchange.answer()
        exchange.hang_up()

    return fault


def changed_answer(change: Callable[[Answer], Answer]) -> Fault:
    """The right answer, altered."""
    return lambda exchange: exchange.send(change(exchange.answer()))


def short_body(missing: int = 1) -> Fault:
    """A complete response whose body lacks its last bytes."""
    return changed_answer(lambda answer: replace(answer, stop=answer.start + answer.size - missing))


def cut_body(after: int) -> Fault:
    """The connection ends after so many bytes of the response's body."""
    return changed_answer(lambda answer: replace(answer, cut=after))


def corrupt_body() -> Fault:
    """One bit is wrong, in the middle; the size is right."""
    return changed_answer(lambda answer: replace(answer, flipped=answer.size // 2))


def delay(seconds: float) -> Fault:
    """The right answer, late."""
    return before(lambda: time.sleep(seconds))


def before(hook: Callable[[], object], then: Fault | None = None) -> Fault:
    """Something else happens first, then the right answer, or another fault."""

    def fault(exchange: Exchange) -> None:
        hook()
        if then:
            then(exchange)
        else:
            exchange.send(exchange.answer())

    return fault


FOREVER = math.inf


@dataclass(slots=True)
class _Planned:
    method: str
    pattern: re.Pattern[str]
    fault: Fault
    left: float


# ---- the Hub -------------------------------------------------------------------------------------------------------


class LocalHub:
    """The server, what it holds, and what is to go wrong.

    Args:
        folder: Where large files are kept; made if missing.
        users: Token → user.
        organisations: User → organisations it may write to.
        roles: Token → "read" where it is not "write".
        xet: Hand out xet tokens, whose store is a folder that hf_xet reads and writes itself.
        part_size: Large files of more bytes are uploaded in parts.
        page_size: Entries of a tree, commits or discussions in one answer.

    Attributes:
        errors: What the server itself did wrong; leaving the `with` block raises if there is any.
        seen: (method, path, headers by their names in lower case) of each request.
    """

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str] | None = None,
        organisations: Mapping[str, list[str]] | None = None,
        *,
        roles: Mapping[str, str] | None = None,
        xet: bool = False,
        part_size: int | None = None,
        page_size: int = 1000,
    ) -> None:
        self.folder, self.xet, self.part_size, self.page_size = folder.resolve(), xet, part_size, page_size
        self.users = {
            token: User(
                name=name,
                organisations=tuple((organisations or {}).get(name, ())),
                role=(roles or {}).get(token, "write"),
            )
            for token, name in (users or {}).items()
        }
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.errors: list[str] = []
        self._faults: list[_Planned] = []
        self.lock = threading.RLock()
        for name in ("blobs", "parts", "xet"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._api, self._storage = Listener(self), Listener(self)

    def __enter__(self) -> "LocalHub":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
        if self.errors and error is None:
            raise RuntimeError("the local Hub failed:\n" + "\n".join(self.errors))

    def close(self) -> None:
        self._api.close()
        self._storage.close()

    @property
    def endpoint(self) -> str:
        return self._api.url

    @property
    def storage(self) -> str:
        """Where the large files are; another host for the client."""
        return self._storage.url

    # -- faults

    def fail(self, method: str, pattern: str, fault: Fault, times: float = 1) -> None:
        """Plan a fault for the next requests whose unquoted path and query a pattern finds; "*" is any method."""
        with self.lock:
            self._faults.append(_Planned(method, re.compile(pattern), fault, times))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self.lock:
            self._faults.clear()

    @property
    def planned(self) -> int:
        """How many of the faults have not been used up, but for those that are for ever."""
        return sum(0 < planned.left < FOREVER for planned in self._faults)

    def next_fault(self, method: str, target: str) -> Fault | None:
        with self.lock:
            for planned in self._faults:
                if planned.left and planned.method in ("*", method) and planned.pattern.search(target):
                    planned.left -= 1
                    return planned.fault
        return None

    # -- what tests ask and do

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and unquoted path with its query, in order."""
        return [(method, path) for method, path, _ in self.seen]

    def repository(self, name: str, kind: str = "model") -> Repository:
        return self.repositories[kind, name]

    def create(self, name: str, *, author: str | None = None, kind: str = "model", private: bool = False) -> Repository:
        """A new repository, with the Hub's first commit."""
        with self.lock:
            made = self.repositories[kind, name] = Repository(name, kind, private)
            files: dict[str, File] = {".gitattributes": GIT_ATTRIBUTES}
            made.add("refs/heads/main", files, title="initial commit", author=author or name.split("/")[0])
        return made

    def commit(
        self,
        name: str,
        files: Mapping[str, bytes | Path | None],
        *,
        title: str = "Somebody else's commit",
        author: str = "somebody-else",
        revision: str = "main",
        kind: str = "model",
    ) -> str:
        """Commit without a client; None deletes a file. The commit's id."""
        with self.lock:
            repository = self.repository(name, kind)
            ref = repository.branch(revision)
            changed = dict(repository.resolve(ref).files)
            for path, content in files.items():
                changed.pop(path, None)
                if content is not None:
                    changed[path] = self._stored(changed, path, content)
            return repository.add(ref, changed, title=title, author=author).id

    def tag(self, name: str, tag: str, revision: str = "main", kind: str = "model") -> None:
        """Set or move a tag."""
        with self.lock:
            repository = self.repository(name, kind)
            repository.refs[f"refs/tags/{tag}"] = repository.resolve(revision).id

    def commits(self, name: str, revision: str = "main", kind: str = "model") -> list[Commit]:
        """Newest first."""
        with self.lock:
            repository = self.repository(name, kind)
            return list(repository.history(repository.resolve(revision)))

    def head(self, name: str, revision: str = "main", kind: str = "model") -> str:
        """A commit's id."""
        return self.commits(name, revision, kind)[0].id

    def files(self, name: str, revision: str = "main", kind: str = "model") -> dict[str, bytes | tuple[str, int]]:
        """Path → content, or (sha256, size) of a large file."""
        found = self.commits(name, revision, kind)[0].files
        return {path: (file.sha256, file.size) if isinstance(file, Large) else file for path, file in found.items()}

    def sha256s(self, name: str, revision: str = "main", kind: str = "model") -> dict[str, str]:
        """Path → sha256 of the content."""
        return {
            path: hashlib.sha256(file).hexdigest() if isinstance(file, bytes) else file[0]
            for path, file in self.files(name, revision, kind).items()
        }

    def tags(self, name: str, kind: str = "model") -> dict[str, str]:
        """Tag → commit's id."""
        with self.lock:
            refs = self.repository(name, kind).refs
            return {ref.removeprefix("refs/tags/"): id_ for ref, id_ in refs.items() if ref.startswith("refs/tags/")}

    def pull_requests(self, name: str, kind: str = "model") -> list[PullRequest]:
        return [one for one in self.repository(name, kind).discussions if one.is_pull_request]

    def merge(self, name: str, number: int, *, author: str = "somebody-else", kind: str = "model") -> str:
        """Merge a pull request as the Hub does: its changes on top of its base. The commit's id."""
        with self.lock:
            repository = self.repository(name, kind)
            pull = repository.discussions[number - 1]
            own = repository.resolve(f"refs/pr/{number}").files
            files = repository.resolve(pull.base).files | own
            made = repository.add(pull.base, files, title=f"{pull.title} (#{number})", author=author)
            pull.status, pull.merge_commit = "merged", made.id
            return made.id

    def blob(self, sha256: str) -> Path:
        """Where the content of a large file is."""
        return self.folder / "blobs" / sha256

    # -- what the routes use

    def answer(self, exchange: Exchange) -> Answer:
        split = urlsplit(exchange.path)
        for methods, pattern, function in ROUTES:
            found = pattern.fullmatch(split.path)
            if found and exchange.command in methods.split():
                parts = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
                return self._call(function, exchange, parsed_query(split.query), parts)
        if exchange.command not in ("GET", "HEAD"):
            self.errors.append(f"the local Hub does not know {exchange.command} {exchange.path}")
        return HubError(404, "Sorry, we can't find the page you are looking for.").answer

    def _call(
        self, function: "Route", exchange: Exchange, query: dict[str, list[str]], parts: dict[str, str]
    ) -> Answer:
        in_storage = function in STORAGE  # signed addresses: no token, and long transfers must not block the others
        body = None if in_storage else exchange.read_body()
        try:
            request = Request(
                method=exchange.command,
                path=urlsplit(exchange.path).path,
                query=query,
                headers=exchange.headers,
                body=(lambda: body) if body is not None else exchange.read_body,
                save=exchange.save_body,
                user=None if in_storage else self._user(exchange.headers),
            )
            if in_storage:
                return function(self, request, **parts)
            with self.lock:
                return function(self, request, **parts)
        except HubError as refusal:
            return refusal.answer

    def _user(self, headers: Message) -> User | None:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users.get(token)

    def opened(self, request: Request, kind: str, name: str, write: bool = False) -> Repository:
        """A repository that the user may read, or write to.

        Raises:
            HubError: 401 or 404 "not found", which are the same for the client; 403 where it may only be read.
        """
        user = request.user
        found = self.repositories.get((kind, name))
        hidden = found is None or (found.private and (user is None or not owns(user, name)))
        if user is None and (hidden or write):
            # Of an https Hub the client takes every such 401 for a missing repository; of http it asks for the code.
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if found is None or hidden:
            raise HubError(404, "Repository not found", "RepoNotFound")
        if user and write and (user.role != "write" or not owns(user, name)):
            raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return found

    def is_large(self, files: Mapping[str, File], path: str, size: int) -> bool:
        """What .gitattributes says of a file, or its size does."""
        attributes = files.get(".gitattributes", b"")
        lines = attributes.decode().splitlines() if isinstance(attributes, bytes) else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        return size > LARGEST_REGULAR or any(fnmatch(path.split("/")[-1], pattern) for pattern in patterns)

    def _stored(self, files: Mapping[str, File], path: str, content: bytes | Path) -> File:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if not self.is_large(files, path, size):
            return content.read_bytes() if isinstance(content, Path) else content
        with _opened(content) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if isinstance(content, Path):
            shutil.copyfile(content, self.blob(sha256))
        else:
            self.blob(sha256).write_bytes(content)
        return Large(sha256, size)

    def uploaded(self, path: str, sha256: str, size: int) -> Large:
        """A large file of which a commit names the hash; from xet's store if it is not here.

        Raises:
            HubError: It was not uploaded.
        """
        xet_hash = xet_hashes(self.folder / "xet").get(sha256)
        if not self.blob(sha256).exists() and xet_hash:
            self._take_from_xet(sha256, xet_hash, size)
        if not self.blob(sha256).exists() or self.blob(sha256).stat().st_size != size:
            reason = "Your push was rejected because an LFS pointer pointed to a file that does not exist."
            raise HubError(400, f"{reason} Offending file: - {path}")
        return Large(sha256, size, xet_hash)

    def _take_from_xet(self, sha256: str, xet_hash: str, size: int) -> None:
        """In a process of its own: only one may open the store, and hf_xet holds it as long as its objects live."""
        code = (
            "import sys, hf_xet; group = hf_xet.XetSession().new_file_download_group(endpoint=sys.argv[1])\n"
            "with group: group.start_download_file(hf_xet.XetFileInfo(sys.argv[2], int(sys.argv[3])), sys.argv[4])"
        )
        file = self.folder / "parts" / uuid.uuid4().hex
        arguments = [self.xet_store, xet_hash, str(size), str(file)]
        environ = os.environ | {"HF_HOME": str(self.folder / "home")}
        for _ in range(50):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments], env=environ, capture_output=True, text=True, check=False
            )
            if "already open" not in done.stderr:
                break
            time.sleep(0.1)
        if done.returncode:
            raise RuntimeError(done.stderr)
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
                raise HubError(400, f"the content in xet's store is not that of sha256 {sha256}")
        file.replace(self.blob(sha256))

    @property
    def xet_store(self) -> str:
        return f"local://{self.folder / 'xet'}"

    def page(self, request: Request, entries: list[Any]) -> Answer:
        """Some of the entries, and where there are more."""
        start = int(request.query.get("cursor", ["0"])[0])
        answer = as_json(entries[start : start + self.page_size])
        if start + self.page_size < len(entries):
            flags = "".join(f"&{name}={values[0]}" for name, values in request.query.items() if name != "cursor")
            following = f"{self.endpoint}{request.path}?cursor={start + self.page_size}{flags}"
            answer.headers["Link"] = f'<{following}>; rel="next"'
        return answer


def parsed_query(text: str) -> dict[str, list[str]]:
    return parse_qs(text, keep_blank_values=True)


def owns(user: User, repository: str) -> bool:
    return repository.split("/")[0] in (user.name, *user.organisations)


def xet_hashes(store: Path) -> dict[str, str]:
    """sha256 → xet's hash of all files in hf_xet's local store, out of its shards: nobody tells the Hub otherwise."""

    def text(raw: bytes) -> str:
        return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))

    found = {}
    for file in store.glob("xet/xorbs/shards/*.mdb"):
        shard, place = file.read_bytes(), 48
        while (name := shard[place : place + 32]) != b"\xff" * 32:
            flags, entries = struct.unpack_from("<II", shard, place + 32)
            place += 48 * (1 + entries * (2 if flags & 1 << 31 else 1))
            if flags & 1 << 30:
                found[text(shard[place : place + 32])] = text(name)
                place += 48
    return found


# ---- the endpoints -------------------------------------------------------------------------------------------------

Route = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []
STORAGE: set[Route] = set()
NAME = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>model|dataset|space)s/{NAME}"
WEB = rf"/(?:(?P<kind>dataset|space)s/)?{NAME}"
REVISION = r"/(?P<revision>[^/]+)"


def route(methods: str, pattern: str) -> Callable[[Route], Route]:
    """The function answers requests to paths of this form, whose named parts are its arguments."""

    def register(function: Route) -> Route:
        ROUTES.append((methods, re.compile(pattern), function))
        if pattern.startswith("/storage"):
            STORAGE.add(function)
        return function

    return register


@route("GET", "/api/whoami-v2")
def whoami(hub: LocalHub, request: Request) -> Answer:
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    user = request.user
    organisations = [
        {"type": "org", "name": name, "fullname": name, "roleInOrg": "write"} for name in user.organisations
    ]
    token = {"displayName": "tests", "role": user.role, "createdAt": now()}
    return as_json(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "orgs": organisations,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@route("POST", "/api/repos/create")
def create_repository(hub: LocalHub, request: Request) -> Answer:
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    wanted = request.json()
    kind, owner = wanted.get("type") or "model", wanted.get("organization") or request.user.name
    name = f"{owner}/{wanted['name']}"
    url = f"{hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{name}"
    if not owns(request.user, name) or request.user.role != "write":
        raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
    if (kind, name) in hub.repositories:
        raise HubError(409, f"You already created this {kind} repo", url=url)
    private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    hub.create(name, author=request.user.name, kind=kind, private=private)
    return as_json({"url": url, "name": name})


@route("POST", "/api/validate-yaml")
def validate_card(hub: LocalHub, request: Request) -> Answer:
    errors, warnings = card_problems(request.json()["content"])
    told = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return as_json(told, 400 if errors else 200)


def card_problems(card: str) -> tuple[list[str], list[str]]:
    """Errors and warnings: the syntax of the front matter, and what its model-index must have."""
    front = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|\Z)", card, re.DOTALL)
    if not front:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(front[1])
    except yaml.YAMLError as error:
        return [str(error)], []
    if not isinstance(metadata, dict):
        return ["The metadata must be an object"], []
    missing = []
    for i, model in enumerate(metadata.get("model-index") or []):
        missing += [f"model-index[{i}].{key}" for key in ("name", "results") if not model.get(key)]
        for j, result in enumerate(model.get("results") or []):
            place = f"model-index[{i}].results[{j}]"
            needed = (("task", "type"), ("dataset", "type"), ("dataset", "name"))
            missing += [f"{place}.{group}.{key}" for group, key in needed if not (result.get(group) or {}).get(key)]
            metrics = result.get("metrics") or [{}]
            missing += [
                f"{place}.metrics[].{key}" for metric in metrics for key in ("type", "value") if key not in metric
            ]
    return [f'"{path}" is required' for path in missing], []


@route("GET", API + f"(?:/revision{REVISION})?")
def information(hub: LocalHub, request: Request, kind: str, name: str, revision: str = "main") -> Answer:
    repository = hub.opened(request, kind, name)
    commit = repository.resolve(revision)
    sizes = request.flag("blobs")
    dates = [each.date for each in repository.commits.values()]
    return as_json(
        {
            "_id": blob_id(name.encode())[:24],
            "id": name,
            "modelId": name,
            "author": name.split("/")[0],
            "sha": commit.id,
            "lastModified": commit.date,
            "createdAt": min(dates),
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [sibling(path, file, sizes) for path, file in sorted(commit.files.items())],
        }
    )


def sibling(path: str, file: File, sizes: bool) -> dict[str, Any]:
    if not sizes:
        return {"rfilename": path}
    told = entry(path, file)
    if isinstance(file, Large):
        told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return told | {"rfilename": path, "blobId": told["oid"]}


def entry(path: str, file: File) -> dict[str, Any]:
    """A file as a tree lists it."""
    if isinstance(file, bytes):
        return {"type": "file", "oid": blob_id(file), "size": len(file), "path": path}
    large = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    told = {"type": "file", "oid": blob_id(file), "size": file.size, "path": path, "lfs": large}
    return told | ({"xetHash": file.xet_hash} if file.xet_hash else {})


def listing(files: Mapping[str, File]) -> list[dict[str, Any]]:
    """All files and folders."""
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    found = [entry(path, file) for path, file in files.items()]
    found += [{"type": "directory", "oid": blob_id(path.encode()), "size": 0, "path": path} for path in folders]
    return sorted(found, key=lambda one: one["path"])


@route("GET", API + f"/tree{REVISION}(?:/(?P<folder>.+))?")
def tree(hub: LocalHub, request: Request, kind: str, name: str, revision: str, folder: str = "") -> Answer:
    entries = listing(hub.opened(request, kind, name).resolve(revision).files)
    inside = f"{folder}/" if folder else ""
    found = [one for one in entries if one["path"].startswith(inside)]
    if not found:
        raise HubError(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
    if not request.flag("recursive"):
        found = [one for one in found if "/" not in one["path"].removeprefix(inside)]
    return hub.page(request, found)


@route("POST", API + f"/paths-info{REVISION}")
def paths_information(hub: LocalHub, request: Request, kind: str, name: str, revision: str) -> Answer:
    wanted = parse_qs(request.body().decode()).get("paths", [])
    entries = listing(hub.opened(request, kind, name).resolve(revision).files)
    return as_json([one for one in entries if one["path"] in wanted])


@route("GET", API + "/refs")
def references(hub: LocalHub, request: Request, kind: str, name: str) -> Answer:
    refs = hub.opened(request, kind, name).refs

    def under(start: str) -> list[dict[str, str]]:
        names = [ref for ref in refs if ref.startswith(start)]
        return [{"name": ref.removeprefix(start), "ref": ref, "targetCommit": refs[ref]} for ref in names]

    told = {"branches": under("refs/heads/"), "tags": under("refs/tags/"), "converts": []}
    return as_json(told | ({"pullRequests": under("refs/pr/")} if request.flag("include_prs") else {}))


@route("GET", API + f"/commits{REVISION}")
def commit_list(hub: LocalHub, request: Request, kind: str, name: str, revision: str) -> Answer:
    repository = hub.opened(request, kind, name)
    entries = [
        {
            "id": commit.id,
            "title": commit.title,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in repository.history(repository.resolve(revision))
    ]
    return hub.page(request, entries)


@route("POST DELETE", API + f"/tag{REVISION}")
def tag(hub: LocalHub, request: Request, kind: str, name: str, revision: str) -> Answer:
    """Set a tag at a revision; or delete the one that the path names."""
    repository = hub.opened(request, kind, name, write=True)
    ref = f"refs/tags/{revision if request.method == 'DELETE' else request.json()['tag']}"
    if request.method == "DELETE":
        if repository.refs.pop(ref, None) is None:
            raise HubError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        return as_json({})
    commit = repository.resolve(revision)
    if ref in repository.refs:
        raise HubError(409, "Tag reference exists already")
    repository.refs[ref] = commit.id
    return as_json({})


def to_a_pull_request(request: Request, revision: str | None) -> bool:
    """Whoever may read may propose."""
    return request.flag("create_pr") or (revision or "").startswith("refs/pr/")


@route("POST", API + f"/preupload{REVISION}")
def preupload(hub: LocalHub, request: Request, kind: str, name: str, revision: str) -> Answer:
    repository = hub.opened(request, kind, name, write=not to_a_pull_request(request, revision))
    files = repository.resolve(revision).files

    def answer(path: str, size: int) -> dict[str, Any]:
        mode = "lfs" if hub.is_large(files, path, size) else "regular"
        old = files.get(path)
        oid = old.sha256 if isinstance(old, Large) else old if old is None else blob_id(old)
        told = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        return told | ({"oid": oid} if oid else {})

    return as_json({"files": [answer(one["path"], one["size"]) for one in request.json()["files"]]})


@route("POST", WEB + r"\.git/info/lfs/objects/batch")
def lfs_batch(hub: LocalHub, request: Request, name: str, kind: str = "model") -> Answer:
    batch = request.json()
    proposal = "ref" not in batch or batch["ref"]["name"].startswith("refs/pr/")
    hub.opened(request, kind, name, write=not proposal)

    def answer(oid: str, size: int) -> dict[str, Any]:
        told = {"oid": oid, "size": size}
        if hub.blob(oid).exists():
            return told
        upload: dict[str, Any] = {"href": f"{hub.storage}/storage/{oid}"}
        if hub.part_size and size > hub.part_size:
            parts = {
                f"{i + 1:05}": f"{hub.storage}/storage/{oid}/part/{i + 1}" for i in range(-(-size // hub.part_size))
            }
            upload = {
                "href": f"{hub.endpoint}/storage/{oid}/complete",
                "header": {"chunk_size": str(hub.part_size)} | parts,
            }
        verify = {"href": f"{hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{name}.git/info/lfs/objects/verify"}
        return told | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}

    objects = [answer(one["oid"], one["size"]) for one in batch["objects"]]
    in_parts = any("chunk_size" in one.get("actions", {}).get("upload", {}).get("header", {}) for one in objects)
    return as_json({"transfer": "multipart" if in_parts else "basic", "objects": objects})


@route("POST", WEB + r"\.git/info/lfs/objects/verify")
def lfs_verify(hub: LocalHub, request: Request, name: str, kind: str = "model") -> Answer:
    hub.opened(request, kind, name)
    wanted = request.json()
    blob = hub.blob(wanted["oid"])
    if not blob.exists() or blob.stat().st_size != wanted["size"]:
        raise HubError(404, "LFS object not found, or of another size")
    return as_json({})


@route("GET HEAD", r"/storage/(?P<sha256>\w{64})")
def stored(hub: LocalHub, request: Request, sha256: str) -> Answer:
    if not hub.blob(sha256).exists():
        raise HubError(404, "NoSuchKey")
    return ranged(request, Answer(content=hub.blob(sha256), headers={"ETag": f'"{sha256}"'}))


def ranged(request: Request, answer: Answer) -> Answer:
    """The whole, or the range that is asked for."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    answer.headers["Accept-Ranges"] = "bytes"
    if not wanted:
        return answer
    whole, start = answer.size, int(wanted[1])
    stop = min(int(wanted[2] or whole - 1) + 1, whole)
    if start >= whole:
        return Answer(status=416, headers={"Content-Range": f"bytes */{whole}"})
    answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{whole}"
    return replace(answer, status=206, start=start, stop=stop)


@route("PUT", r"/storage/(?P<sha256>\w{64})(?:/part/(?P<part>\d+))?")
def put(hub: LocalHub, request: Request, sha256: str, part: str = "") -> Answer:
    arriving = hub.folder / "parts" / uuid.uuid4().hex
    found = request.save(arriving)
    if part:
        arriving.replace(hub.folder / "parts" / f"{sha256}.{part}")
    elif found == sha256:
        arriving.replace(hub.blob(sha256))
    else:
        arriving.unlink()
        raise HubError(400, "BadDigest")
    return Answer(headers={"ETag": f'"{found[:32]}"'})


@route("POST", r"/storage/(?P<sha256>\w{64})/complete")
def complete(hub: LocalHub, request: Request, sha256: str) -> Answer:
    """Join the parts, whose ETags the client must have kept."""
    arriving, digest = hub.folder / "parts" / uuid.uuid4().hex, hashlib.sha256()
    with arriving.open("wb") as whole:
        for part in request.json()["parts"]:
            file = hub.folder / "parts" / f"{sha256}.{part['partNumber']}"
            with file.open("rb") as opened:
                etag = hashlib.file_digest(opened, "sha256").hexdigest()[:32]
                if part["etag"] != f'"{etag}"':
                    raise HubError(400, "InvalidPart")
                opened.seek(0)
                while block := opened.read(BLOCK):
                    digest.update(block)
                    whole.write(block)
            file.unlink()
    if digest.hexdigest() != sha256:
        raise HubError(400, "BadDigest")
    arriving.replace(hub.blob(sha256))
    return as_json({})


@route("GET", API + r"/xet-(?P<access>read|write)-token/(?P<revision>[^/]+)")
def xet_token(hub: LocalHub, request: Request, kind: str, name: str, access: str, revision: str) -> Answer:
    """As JSON for hf_xet, and as headers for huggingface_hub."""
    proposal = to_a_pull_request(request, revision)
    hub.opened(request, kind, name, write=access == "write" and not proposal)
    if not hub.xet:
        raise HubError(404, "this local Hub was started without xet")
    expiry = int(time.time()) + 3600
    answer = as_json({"casUrl": hub.xet_store, "exp": expiry, "accessToken": "xet"})
    answer.headers |= {"X-Xet-Cas-Url": hub.xet_store, "X-Xet-Access-Token": "xet"}
    answer.headers["X-Xet-Token-Expiration"] = str(expiry)
    return answer


@route("POST", API + f"/commit{REVISION}")
def new_commit(hub: LocalHub, request: Request, kind: str, name: str, revision: str) -> Answer:
    repository = hub.opened(request, kind, name, write=not to_a_pull_request(request, revision))
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    lines = [json.loads(line) for line in request.body().splitlines() if line]
    header = lines[0]["value"]
    ref = repository.branch(revision)
    head = repository.resolve(ref)
    if not head.id.startswith(header.get("parentCommit", "")):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = changed_files(hub, head.files, lines[1:])
    said = {"title": header["summary"], "description": header.get("description", ""), "author": request.user.name}
    told: dict[str, Any] = {"success": True}
    if request.flag("create_pr"):
        pull = new_discussion(repository, base=ref, **said)
        ref = f"refs/pr/{pull.number}"
        repository.refs[ref] = head.id
        told["pullRequestUrl"] = f"{hub.endpoint}/{name}/discussions/{pull.number}"
    commit = repository.add(ref, files, **said)
    return as_json(told | {"commitOid": commit.id, "commitUrl": f"{hub.endpoint}/{name}/commit/{commit.id}"})


def changed_files(hub: LocalHub, files: Mapping[str, File], operations: list[dict[str, Any]]) -> dict[str, File]:
    """The files after the operations of a commit."""
    after = dict(files)
    for operation in operations:
        value = operation["value"]
        path = value["path"]
        if operation["key"] == "file":
            content = base64.b64decode(value["content"])
            if len(content) > LARGEST_REGULAR:
                raise HubError(400, f"Your push was rejected because it contains files larger than 10 MiB: {path}")
            after[path] = content
        elif operation["key"] == "lfsFile":
            after[path] = hub.uploaded(path, value["oid"], value["size"])
        else:
            gone = [one for one in after if one == path or one.startswith(path.rstrip("/") + "/")]
            if not gone:
                raise HubError(404, f"A file with the name {path!r} does not exist", "EntryNotFound")
            for one in gone:
                del after[one]
    return after


def new_discussion(
    repository: Repository, *, title: str, description: str, author: str, base: str, is_pull_request: bool = True
) -> PullRequest:
    made = PullRequest(
        number=len(repository.discussions) + 1,
        title=title,
        description=description,
        author=author,
        date=now(),
        base=base,
        is_pull_request=is_pull_request,
    )
    repository.discussions.append(made)
    return made


def summary(repository: Repository, one: PullRequest) -> dict[str, Any]:
    return {
        "num": one.number,
        "title": one.title,
        "author": {"name": one.author},
        "createdAt": one.date,
        "status": one.status,
        "isPullRequest": one.is_pull_request,
        "repo": {"name": repository.id, "type": repository.kind},
    }


@route("GET", API + "/discussions")
def discussion_list(hub: LocalHub, request: Request, kind: str, name: str) -> Answer:
    repository = hub.opened(request, kind, name)
    wanted = {key: request.query.get(key, ["all"])[0] for key in ("type", "status", "author")}
    open_ones = ("open", "draft")
    found = [
        one
        for one in reversed(repository.discussions)
        if wanted["type"] in ("all", "pull_request" if one.is_pull_request else "discussion")
        and wanted["status"] in ("all", "open" if one.status in open_ones else "closed")
        and wanted["author"] in ("all", one.author)
    ]
    start = int(request.query.get("p", ["0"])[0]) * hub.page_size
    shown = [summary(repository, one) for one in found[start : start + hub.page_size]]
    return as_json({"count": len(found), "start": start, "discussions": shown})


@route("POST", API + "/discussions")
def open_discussion(hub: LocalHub, request: Request, kind: str, name: str) -> Answer:
    repository = hub.opened(request, kind, name)
    if request.user is None:
        raise HubError(401, "Invalid username or password.")
    wanted = request.json()
    made = new_discussion(
        repository,
        title=wanted["title"],
        description=wanted.get("description", ""),
        author=request.user.name,
        base="refs/heads/main",
        is_pull_request=bool(wanted.get("pullRequest")),
    )
    if made.is_pull_request:
        made.status = "draft"
        repository.refs[f"refs/pr/{made.number}"] = repository.refs["refs/heads/main"]
    return as_json({"num": made.number, "pullRequest": made.is_pull_request})


@route("GET", API + r"/discussions/(?P<number>\d+)")
def discussion(hub: LocalHub, request: Request, kind: str, name: str, number: str) -> Answer:
    repository = hub.opened(request, kind, name)
    one = found_discussion(repository, number)

    def event(id_: str, type_: str, author: str, date: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"id": id_, "type": type_, "author": {"name": author}, "createdAt": date, "data": data}

    comment = {"edited": False, "hidden": False, "latest": {"raw": one.description}}
    told = summary(repository, one) | {"events": [event("0", "comment", one.author, one.date, comment)]}
    if one.is_pull_request:
        base = {commit.id for commit in repository.history(repository.resolve(one.base))}
        own = [c for c in repository.history(repository.resolve(f"refs/pr/{number}")) if c.id not in base]
        told["events"] += [
            event(c.id, "commit", c.author, c.date, {"subject": c.title, "oid": c.id}) for c in own[::-1]
        ]
        told |= {"changes": {"base": one.base, "mergeCommitId": one.merge_commit}, "filesWithConflicts": [], "diff": ""}
    return as_json(told)


def found_discussion(repository: Repository, number: str) -> PullRequest:
    if not 1 <= int(number) <= len(repository.discussions):
        raise HubError(404, f"Discussion {number} not found")
    return repository.discussions[int(number) - 1]


@route("GET HEAD", WEB + f"/resolve{REVISION}/(?P<path>.+)")
def resolve(hub: LocalHub, request: Request, name: str, revision: str, path: str, kind: str = "model") -> Answer:
    """The file itself, or where it is stored."""
    commit = hub.opened(request, kind, name).resolve(revision)
    at = {"X-Repo-Commit": commit.id}
    if path not in commit.files:
        missing = HubError(404, "Entry not found", "EntryNotFound")
        missing.answer.headers |= at
        raise missing
    file = commit.files[path]
    if isinstance(file, bytes):
        return ranged(request, Answer(content=file, headers=at | {"ETag": f'"{blob_id(file)}"'}))
    linked = {"Location": f"{hub.storage}/storage/{file.sha256}", "ETag": f'"{file.sha256[:32]}"'}
    linked |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    if file.xet_hash and hub.xet:
        token = f"{hub.endpoint}/api/{kind}s/{name}/xet-read-token/{commit.id}"
        linked |= {"X-Xet-Hash": file.xet_hash, "Link": f'<{token}>; rel="xet-auth"'}
    return Answer(status=302, content=b"Found. Redirecting", headers=at | linked)


# ---- the client's side ---------------------------------------------------------------------------------------------

IMPATIENT = """import os, time
_sleep = time.sleep
def sleep(seconds):
    with open(os.environ["SLEEPS"], "a") as file:
        file.write(f"{seconds}\\n")
    _sleep(min(seconds, 0.01))
time.sleep = sleep
"""


def environment(
    hub: LocalHub, home: Path, token: str | None = None, *, impatient: bool = False, **extra: str
) -> dict[str, str]:
    """The environment of a process that works with a Hub.

    Args:
        hub: Where `HF_ENDPOINT` points to; xet is off if it is not on there.
        home: `HF_HOME`, and with it the cache.
        token: Nobody is logged in without one.
        impatient: `time.sleep` takes 10 ms at most, and `sleeps(home)` tells what was asked for.
        extra: More variables.
    """
    home.mkdir(parents=True, exist_ok=True)
    # The client asks the Hub for this once a day, in order to tell it which coding agent runs it.
    (home / ".agent_harnesses.json").write_text('{"standardEnvVars": [], "harnesses": {}}')
    ours = ("HF_", "HUGGING", "TRANSFORMERS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        kept.pop(name, None)
        kept.pop(name.upper(), None)
    kept |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    kept |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    kept |= {} if hub.xet else {"HF_HUB_DISABLE_XET": "1"}
    kept |= {"HF_TOKEN": token} if token else {}
    if impatient:
        (home / "impatient").mkdir(exist_ok=True)
        (home / "impatient" / "sitecustomize.py").write_text(IMPATIENT)
        before_it = kept.get("PYTHONPATH")
        paths = [str(home / "impatient"), *([before_it] if before_it else [])]
        kept |= {"PYTHONPATH": os.pathsep.join(paths), "SLEEPS": str(home / "sleeps")}
    return kept | extra


def sleeps(home: Path) -> list[float]:
    """The seconds that an impatient process wanted to sleep."""
    file = home / "sleeps"
    return [float(line) for line in file.read_text().split()] if file.exists() else []
