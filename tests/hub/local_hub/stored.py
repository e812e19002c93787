"""What a repository is: files by their paths in commits, the refs that name these, and pull requests."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatch

from tests.hub.local_hub.answers import HubError

MAIN = "refs/heads/main"
LARGE = ("safetensors", "onnx", "bin", "h5", "npy", "npz", "pickle", "pkl", "pt", "pth", "zip")
GIT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE).encode()
LARGEST_REGULAR = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Large:
    """A file that git knows by a pointer."""

    sha256: str
    size: int
    xet_hash: str | None = None

    @property
    def pointer(self) -> bytes:
        """What is in git."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()


File = bytes | Large


def blob_id(file: File) -> str:
    """What `git hash-object` says of it."""
    content = file.pointer if isinstance(file, Large) else file
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_large(files: Mapping[str, File], path: str, size: int) -> bool:
    """What the .gitattributes among the files say of a file, or its size does."""
    attributes = files.get(".gitattributes", b"")
    lines = attributes.decode().splitlines() if isinstance(attributes, bytes) else []
    patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
    return size > LARGEST_REGULAR or any(fnmatch(path.split("/")[-1], pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One whole state of a repository."""

    id: str
    parent: str | None
    title: str
    author: str
    date: str
    files: dict[str, File]


@dataclass(slots=True, kw_only=True)
class PullRequest:
    """A proposal to the main branch; its commits are at `refs/pr/<number>`."""

    number: int
    title: str
    author: str
    date: str
    status: str = "open"

    @property
    def ref(self) -> str:
        """Names its last commit."""
        return f"refs/pr/{self.number}"


@dataclass(slots=True)
class Repository:
    """Commits by id, and the refs (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) that point to them."""

    id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pull_requests: list[PullRequest] = field(default_factory=list)

    def resolve(self, revision: str) -> Commit:
        """A branch, a tag, a ref or a commit's id.

        Raises:
            HubError: 404, nothing is called so.
        """
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if revision not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[revision]

    def add(self, ref: str, files: dict[str, File], *, title: str, author: str) -> Commit:
        """A commit on top of a ref, which need not exist yet."""
        parent = self.refs.get(ref)
        blobs = sorted((path, blob_id(file)) for path, file in files.items())
        made_of = [self.id, parent, title, author, len(self.commits), blobs]
        id_ = hashlib.sha1(json.dumps(made_of).encode(), usedforsecurity=False).hexdigest()
        self.commits[id_] = Commit(id=id_, parent=parent, title=title, author=author, date=now(), files=files)
        self.refs[ref] = id_
        return self.commits[id_]

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Newest first."""
        yield commit
        while commit.parent:
            commit = self.commits[commit.parent]
            yield commit

    def tags(self) -> dict[str, str]:
        """Tag → commit's id."""
        return {ref.removeprefix("refs/tags/"): id_ for ref, id_ in self.refs.items() if ref.startswith("refs/tags/")}


def now() -> str:
    """As the Hub writes dates."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
