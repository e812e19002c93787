"""The pull requests of a repository, which the Hub lists among its discussions."""

from typing import Any

from tests.hub.local_hub.answers import Answer, HubError, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, Request, opened, route
from tests.hub.local_hub.stored import MAIN, PullRequest


@route("GET", API + "/discussions")
def pull_request_list(hub: LocalHub, request: Request, name: str) -> Answer:
    """Newest first, all in one answer; those of an author or a status, if asked for."""
    author, wanted = (request.query.get(key, ["all"])[0] for key in ("author", "status"))
    found = [
        summary(name, pull)
        for pull in reversed(opened(hub, request, name).pull_requests)
        if author in ("all", pull.author) and wanted in ("all", "open" if pull.status == "open" else "closed")
    ]
    return as_json({"count": len(found), "start": 0, "discussions": found})


def summary(name: str, pull: PullRequest) -> dict[str, Any]:
    """A pull request as the list has it."""
    return {
        "num": pull.number,
        "title": pull.title,
        "author": {"name": pull.author},
        "createdAt": pull.date,
        "status": pull.status,
        "isPullRequest": True,
        "repo": {"name": name, "type": "model"},
    }


@route("GET", API + r"/discussions/(?P<number>\d+)")
def pull_request(hub: LocalHub, request: Request, name: str, number: str) -> Answer:
    """With its description as the first event, and its commits as the others."""
    repository = opened(hub, request, name)
    if not 1 <= int(number) <= len(repository.pull_requests):
        raise HubError(404, f"Discussion {number} not found")
    pull = repository.pull_requests[int(number) - 1]
    comment = {"edited": False, "hidden": False, "latest": {"raw": pull.description}}
    events = [event("0", "comment", pull.author, pull.date, comment)]
    main = {commit.id for commit in repository.history(repository.resolve(MAIN))}
    own = [commit for commit in repository.history(repository.resolve(pull.ref)) if commit.id not in main]
    for commit in reversed(own):
        said = {"subject": commit.title, "oid": commit.id}
        events.append(event(commit.id, "commit", commit.author, commit.date, said))
    changes = {"base": MAIN, "mergeCommitId": pull.merge_commit}
    more = {"events": events, "changes": changes, "filesWithConflicts": [], "diff": ""}
    return as_json(summary(name, pull) | more)


def event(id_: str, kind: str, author: str, date: str, data: dict[str, Any]) -> dict[str, Any]:
    """Something that happened to a pull request."""
    return {"id": id_, "type": kind, "author": {"name": author}, "createdAt": date, "data": data}
