"""The Hub as the tests see it: what it holds, what it has seen, what is to go wrong."""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.hub.local_hub import routing
from tests.hub.local_hub.answers import Answer
from tests.hub.local_hub.blobs import Blobs
from tests.hub.local_hub.exchange import Exchange, Listener
from tests.hub.local_hub.faults import Fault, Faults
from tests.hub.local_hub.routing import User
from tests.hub.local_hub.stored import GIT_ATTRIBUTES, MAIN, Commit, File, Large, PullRequest, Repository, is_large


class LocalHub:
    """The server, and all that is in it.

    Args:
        folder: Where large files are kept; made if missing.
        users: Token → user.
        organisations: User → organisations it may write to.
        roles: Token → "read" where it is not "write".
        xet: Hand out xet tokens, whose store is a folder that hf_xet reads and writes itself.

    Attributes:
        repositories: By the Hub's type, which is "model" here, and id.
        errors: What the server itself did wrong; leaving the `with` block raises if there is any.
        requests: Method and unquoted path with its query of each request, in order.
        lock: Held while repositories are read or changed.
    """

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        organisations: Mapping[str, list[str]] | None = None,
        *,
        roles: Mapping[str, str] | None = None,
        xet: bool = False,
    ) -> None:
        belongs, roles = organisations or {}, roles or {}
        self.users = {
            token: User(name=name, organisations=tuple(belongs.get(name, ())), role=roles.get(token, "write"))
            for token, name in users.items()
        }
        self.xet, self.blobs, self.faults = xet, Blobs(folder), Faults()
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.errors: list[str] = []
        self.lock = threading.RLock()
        # Clients from 1.30 to 2.1 take all ports of a name for one host.
        self._api, self._storage = Listener(self, "127.0.0.1"), Listener(self, "localhost")

    def __enter__(self) -> "LocalHub":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._api.close()
        self._storage.close()
        if self.errors and error is None:
            raise RuntimeError("the local Hub failed:\n" + "\n".join(self.errors))

    @property
    def endpoint(self) -> str:
        """Where the client is to look for it."""
        return self._api.url

    @property
    def storage(self) -> str:
        """Where the large files are; another host for the client."""
        return self._storage.url

    def answer(self, exchange: Exchange) -> Answer:
        """Do what a request asks for."""
        return routing.answer(self, exchange)

    # ---- what goes wrong

    def fail(self, method: str, pattern: str, fault: Fault, times: float = 1) -> None:
        """Plan a fault for the next requests whose unquoted path and query a pattern finds."""
        self.faults.plan(method, pattern, fault, times)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.faults.clear()

    @property
    def planned(self) -> int:
        """How many of the faults have not been used up, but for those that are for ever."""
        return self.faults.left

    # ---- what others do to it

    def create(self, name: str, *, author: str | None = None, private: bool = False) -> None:
        """A new repository, with the Hub's first commit."""
        with self.lock:
            made = self.repositories["model", name] = Repository(name, private)
            files: dict[str, File] = {".gitattributes": GIT_ATTRIBUTES}
            made.add(MAIN, files, title="initial commit", author=author or name.split("/")[0])

    def commit(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        title: str = "Somebody else's commit",
        author: str = "somebody-else",
    ) -> None:
        """Add or change files of the main branch without a client."""
        with self.lock:
            repository = self.repository(name)
            changed = dict(repository.resolve(MAIN).files)
            for path, content in files.items():
                changed[path] = self.blobs.put(content) if is_large(changed, path, len(content)) else content
            repository.add(MAIN, changed, title=title, author=author)

    def merge(self, name: str, number: int) -> None:
        """Merge a pull request as the Hub does: its files on top of the main branch."""
        with self.lock:
            repository = self.repository(name)
            pull = repository.pull_requests[number - 1]
            files = repository.resolve(MAIN).files | repository.resolve(pull.ref).files
            repository.add(MAIN, files, title=f"{pull.title} (#{number})", author="somebody-else")
            pull.status = "merged"

    # ---- what it holds

    def repository(self, name: str) -> Repository:
        """All of it."""
        return self.repositories["model", name]

    def commits(self, name: str) -> list[Commit]:
        """Of the main branch, newest first."""
        with self.lock:
            repository = self.repository(name)
            return list(repository.history(repository.resolve(MAIN)))

    def head(self, name: str) -> str:
        """The id of the main branch's last commit."""
        return self.commits(name)[0].id

    def files(self, name: str) -> dict[str, File]:
        """The main branch's files by their paths."""
        return self.commits(name)[0].files

    def sha256s(self, name: str) -> dict[str, str]:
        """Path → sha256 of the content."""
        return {
            path: file.sha256 if isinstance(file, Large) else hashlib.sha256(file).hexdigest()
            for path, file in self.files(name).items()
        }

    def tags(self, name: str) -> dict[str, str]:
        """Tag → commit's id."""
        with self.lock:
            return self.repository(name).tags()

    def pull_requests(self, name: str) -> list[PullRequest]:
        """Open and merged ones, the oldest first."""
        return self.repository(name).pull_requests
