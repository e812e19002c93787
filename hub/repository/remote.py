"""A repository on the Hub: its head, its files compared with a folder's, its tags, and later commits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from hub.repository.files import files_of
from vgg_zoo.weights.files import file_digest

OF_THE_HUB = {".gitattributes"}
"""Files that the Hub writes when a repository is created."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that turn a repository's files into those of a folder."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    @property
    def sent(self) -> list[str]:
        """Files that are uploaded."""
        return sorted(self.added + self.changed)


@dataclass(frozen=True, slots=True)
class Remote:
    """One repository.

    Attributes:
        api: The Hub's client, with its endpoint and token.
        repository: The id.
    """

    api: HfApi
    repository: str

    def head(self) -> str | None:
        """The commit of the main branch; None if the repository or the branch does not exist."""
        try:
            return str(self.api.repo_info(self.repository, revision="main").sha)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return None

    def files(self, revision: str) -> dict[str, RepoFile]:
        """The files at a revision, except the Hub's own."""
        tree = self.api.list_repo_tree(self.repository, recursive=True, revision=revision)
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile) and entry.path not in OF_THE_HUB}

    def changes(self, folder: Path, revision: str | None) -> Changes:
        """The changes of a commit; without a revision, all files are new."""
        there: Mapping[str, RepoFile] = self.files(revision) if revision else {}
        here = files_of(folder)
        return Changes(
            added=[name for name in here if name not in there],
            changed=[name for name in here if name in there and not _same(folder / name, there[name])],
            removed=sorted(set(there) - set(here)),
        )

    def tags(self) -> dict[str, str]:
        """The git tags and their commits."""
        return {tag.name: tag.target_commit for tag in self.api.list_repo_refs(self.repository).tags}

    def commits_since(self, parent: str | None) -> dict[str, str]:
        """The commits on top of a commit, newest first: their ids, and the Hub's data about them."""
        since = takewhile(lambda commit: commit.commit_id != parent, self.api.list_repo_commits(self.repository))
        return {commit.commit_id: f"{commit.title!r} by {', '.join(commit.authors) or 'somebody'}" for commit in since}


def _same(file: Path, there: RepoFile) -> bool:
    if file.stat().st_size != there.size:
        return False
    if there.lfs is not None:
        return bool(there.lfs.sha256 == file_digest(file))
    return there.blob_id == git_hash(file.read_bytes())


def status_of(error: Exception) -> int | None:
    """The Hub's answer to the failed request, if there is one."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def is_refused(error: Exception) -> bool:
    """Whether the Hub answered without a server error, so that the same request would get the same answer."""
    status = status_of(error)
    return status is not None and status < 500


def explained(error: Exception) -> str:
    """An explanation of a client's failure, with the way out."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next(filter(None, lines), type(error).__name__)
    said = re.sub(r"hf_\w+|Bearer [^'\"]+", "[token]", said)  # the client quotes a header that it could not send
    status = status_of(error)
    if status == 401:
        return "the Hub does not know the token; `hf auth login` stores a valid one, or set HF_TOKEN"
    if status == 403:
        return f"the token may not do this: {said}. It needs write access to this owner's repositories"
    if isinstance(error, HTTPError) and status is None:
        return f"the Hub does not answer ({type(error).__name__}: {said})"
    return said
