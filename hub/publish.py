"""`publish` and `plan`: a checked folder becomes a repository's content in one commit, or nothing changes.

The client retries only uploads. If another request gets no answer, this module reads the repository again. A commit
names its parent, so it can succeed only once, even if its answer was lost.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError

from hub.repository.address import Address
from hub.repository.files import SUMS, address_of, sums_of
from hub.repository.record import Record, write_record
from hub.repository.remote import Changes, Remote, explained, is_refused, status_of

ATTEMPTS = 3
PAUSE = 1.0
"""Seconds by which the wait grows before each further attempt."""

_STALE = 412
T = TypeVar("T")

Failure = (HTTPError, OSError, RuntimeError)
"""Errors of the client: its own, those of a connection, and RuntimeError for an upload that it gave up."""


class PublishError(Exception):
    """Nothing was published, or this is unknown; the message says what the repository holds."""


@contextmanager
def _told(before: str, after: str = "") -> Iterator[None]:
    """Turn a failure of the client into a PublishError, with its explanation between these words."""
    try:
        yield
    except Failure as error:
        raise PublishError(f"{before}{explained(error)}{after}") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """What publishing would do.

    Attributes:
        address: The address of the repository.
        head: The commit of the main branch; None if there is no repository.
        changes: The changes of a commit on top of it.
        tag: The commit of the version's git tag, or None.
        tag_differs: Whether this commit holds something else than the folder.
    """

    address: Address
    head: str | None
    changes: Changes
    tag: str | None
    tag_differs: bool

    @property
    def published(self) -> str | None:
        """The commit that holds the folder already: the version's, or the head; None if there is none."""
        if self.tag:
            return None if self.tag_differs else self.tag
        return None if self.changes else self.head

    def in_words(self, folder: Path) -> list[str]:
        """Line by line; the sizes are those of the folder's files."""
        repository, version = self.address.repository, self.address.version
        if self.published:
            tagged = "" if self.tag else f"; the git tag {version} would be made"
            return [f"{repository} is up to date: commit {self.published}{tagged}"]
        if self.tag_differs:
            return [f"{repository} has a git tag {version} of another content ({self.tag}): publish would refuse"]
        state = f"at {self.head}" if self.head else "not there, or not yours to see; it would be made"
        lines = [f"{repository} is {state}"]
        for what, names in (("add", self.changes.added), ("change", self.changes.changed)):
            lines += [f"  would {what:7} {name} ({(folder / name).stat().st_size:,} bytes)" for name in names]
        lines += [f"  would remove  {name}" for name in self.changes.removed]
        return [*lines, f"in one commit with the git tag {version}. Nothing was sent"]


def plan(folder: Path, api: HfApi) -> Plan:
    """Compare a folder with its repository; nothing is sent.

    Raises:
        PublishError: The Hub does not answer.
    """
    address = address_of(folder)
    remote = Remote(api, address.repository)
    with _told(f"cannot read {address.repository}: ", ". No file was sent"):
        head = _retried(remote.head)
        tag = _retried(remote.tags).get(address.version) if head else None
        tag_differs = tag is not None and bool(_retried(lambda: remote.changes(folder, tag)))
        return Plan(address, head, _retried(lambda: remote.changes(folder, head)), tag, tag_differs)


def publish(folder: Path, api: HfApi, *, pull_request: bool = False, private: bool = False) -> str:
    """Publish a checked folder on the Hub.

    Args:
        folder: A folder that has passed `check`.
        api: The client; its token is huggingface_hub's own.
        pull_request: Open a pull request instead of changing the main branch; the version's git tag waits for its
            merge.
        private: Whether a new repository is private.

    Returns:
        What was done, in words.

    Raises:
        PublishError: Publishing failed; the message says what the repository holds now, and the way out.
    """
    address = address_of(folder)
    remote = Remote(api, address.repository)
    user = _user(api)
    _ensure_repository(remote, private)
    found = plan(folder, api)
    if found.head is None:  # the Hub is outdated, or hides the content: no commit without a parent
        raise PublishError(f"{address.repository} exists, but cannot be read yet. No file was sent; publish again")
    if found.tag_differs:
        raise PublishError(
            f"{address.repository} has a git tag {address.version} already, of the commit {found.tag} with another "
            f"content, and a tag is never moved. Nothing was changed; build the folder for "
            f"{address.repository}@ANOTHER-VERSION"
        )
    commit, done = found.published, "is up to date"
    if commit is None and pull_request:
        return _open_pull_request(remote, folder, found, user)
    if commit is None:
        commit, done = _commit(remote, folder, found), "was published"
        _check_landed(remote, folder, commit)
    _tag(remote, address, commit)
    write_record(folder, Record.of(folder, address, commit, api.endpoint))
    return f"{address.repository} {done}: commit {commit}, git tag {address.version}"


def _user(api: HfApi) -> str:
    try:
        return str(_retried(api.whoami)["name"])
    except LocalTokenNotFoundError as error:
        raise PublishError("there is no token; `hf auth login` stores one, or set HF_TOKEN") from error
    except Failure as error:
        raise PublishError(f"{explained(error)}. Nothing was changed") from error


def _ensure_repository(remote: Remote, private: bool) -> None:
    with _told(f"cannot make {remote.repository}: ", ". No file was sent"):
        _retried(lambda: remote.api.create_repo(remote.repository, exist_ok=True, private=private or None))
        open_to_all = private and not _retried(lambda: remote.api.repo_info(remote.repository)).private
    if open_to_all:
        raise PublishError(
            f"{remote.repository} exists already and is public; no file was sent. Make it private on the Hub, or leave "
            "--private out"
        )


def _retried(call: Callable[[], T]) -> T:
    """Repeat a request if the Hub fails or does not answer; not if it refuses."""
    for attempt in range(1, ATTEMPTS):
        try:
            return call()
        except HTTPError as error:
            if is_refused(error):
                raise
            time.sleep(attempt * PAUSE)
    return call()


def _send(remote: Remote, folder: Path, found: Plan, pull_request: bool = False) -> Any:
    """Send all files and the commit on top of the planned head, or nothing."""
    sent = [CommitOperationAdd(name, folder / name) for name in found.changes.sent]
    return remote.api.create_commit(
        remote.repository,
        [*sent, *(CommitOperationDelete(name) for name in found.changes.removed)],
        commit_message=f"{found.address.name} {found.address.version}",
        parent_commit=found.head,
        create_pr=pull_request,
    )


def _commit(remote: Remote, folder: Path, found: Plan) -> str:
    """Make one commit on top of the planned head; returns its id."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return str(_send(remote, folder, found).oid)
        except Failure as error:
            if landed := _settle(remote, folder, found, error, last=attempt == ATTEMPTS):
                return landed
            time.sleep(attempt * PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _check_landed(remote: Remote, folder: Path, commit: str) -> None:
    """Check, before the permanent git tag is made, that the commit holds what `check` saw. (The client skips files that
    the repository's .gitignore names, and a folder may change while it is sent.)"""
    unread = f"{remote.repository} has the commit {commit}, which cannot be read ("
    with _told(unread, "); it has no git tag yet. The same command looks again"):
        differs = bool(_retried(lambda: remote.changes(folder, commit)))
    if differs or (folder / SUMS).read_text() != sums_of(folder):
        raise PublishError(
            f"the commit {commit} of {remote.repository} does not hold the folder's files, because of its .gitignore "
            "or a change meanwhile. It has no git tag; publish again"
        )


def _settle(remote: Remote, folder: Path, found: Plan, error: Exception, last: bool) -> str | None:
    """After a failure: the commit if it succeeded all the same, None to try again, or an error with the state."""
    repository = remote.repository
    try:
        since = _retried(lambda: remote.commits_since(found.head))
        landed = next((commit for commit in since if not remote.changes(folder, commit)), None)
    except Failure as second:
        raise PublishError(
            f"publishing failed ({explained(error)}), and {repository} cannot be read either ({explained(second)}): "
            "it holds the folder in one commit, or is unchanged. Publish again; this finds out"
        ) from error
    if landed:  # the answer was lost; others may have committed on top of it since then
        return landed
    if since:
        told = "; ".join(f"{commit[:12]} {words}" for commit, words in since.items())
        raise PublishError(
            f"{repository} was moved by somebody else: {told}. Nothing of the folder was published; look at it, then "
            "`plan` and `publish` again"
        ) from error
    refused = is_refused(error) and status_of(error) != _STALE
    if last or refused or isinstance(error, RuntimeError):  # before a RuntimeError, the client has already retried
        raise PublishError(
            f"publishing failed: {explained(error)}. {repository} is unchanged; the same command tries again"
        ) from error
    return None


def _tag(remote: Remote, address: Address, commit: str) -> None:
    """Give the commit the version's git tag, unless it has it."""
    holds = f"{remote.repository} holds the folder in the commit {commit}, but"

    def create() -> None:
        if remote.tags().get(address.version) is None:
            remote.api.create_tag(remote.repository, tag=address.version, revision=commit, exist_ok=True)

    with _told(f"{holds} its git tag {address.version} could not be made: ", ". The same command makes it"):
        _retried(create)
        named = _retried(remote.tags).get(address.version)
    if named != commit:
        raise PublishError(
            f"{holds} somebody else's git tag {address.version} names {named}, and a tag is never moved. Build the "
            "folder again for another version"
        )


def _open_pull_request(remote: Remote, folder: Path, found: Plan, user: str) -> str:
    """Open a pull request with the folder's content, or find the one that is already open."""
    if there := _pull_request_with(remote, folder, user):
        return f"{remote.repository}: the pull request {there} is up to date"
    try:
        info = _send(remote, folder, found, pull_request=True)
    except Failure as error:
        # Without an answer, it may still have been opened.
        if not is_refused(error) and (there := _pull_request_with(remote, folder, user)):
            return f"{remote.repository}: opened the pull request {there}"
        raise PublishError(
            f"no pull request was opened: {explained(error)}. {remote.repository} is unchanged"
        ) from error
    return f"{remote.repository}: opened the pull request {info.pr_revision}; publish again when it is merged"


def _pull_request_with(remote: Remote, folder: Path, user: str) -> str | None:
    """An open pull request of this user whose files are the folder's."""
    with _told(f"cannot read the pull requests of {remote.repository}: "):
        requests = remote.api.get_repo_discussions(
            remote.repository, author=user, discussion_type="pull_request", discussion_status="open"
        )
        names = (f"refs/pr/{request.num}" for request in requests)
        return next((name for name in names if not remote.changes(folder, name)), None)
