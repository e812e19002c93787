"""The pull requests of a repository, which the Hub lists among its discussions."""

from tests.hub.local_hub.answers import Answer, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, Request, opened, route


@route("GET", API + "/discussions")
def pull_request_list(hub: LocalHub, request: Request, name: str) -> Answer:
    """Newest first, all in one answer; those of an author and a status, which are asked for."""
    author, status = (request.query[key][0] for key in ("author", "status"))
    found = [
        {
            "num": pull.number,
            "title": pull.title,
            "author": {"name": pull.author},
            "createdAt": pull.date,
            "status": pull.status,
            "isPullRequest": True,
            "repo": {"name": name, "type": "model"},
        }
        for pull in reversed(opened(hub, request, name).pull_requests)
        if (author, status) == (pull.author, pull.status)
    ]
    return as_json({"count": len(found), "start": 0, "discussions": found})
