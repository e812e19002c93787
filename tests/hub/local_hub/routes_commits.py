"""What changes a repository: commits, which may open a pull request, and tags."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.hub.local_hub.answers import Answer, HubError, as_json
from tests.hub.local_hub.blobs import Blobs
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, REVISION, Request, opened, route
from tests.hub.local_hub.stored import MAIN, File, PullRequest, now


@route("POST", API + f"/commit{REVISION}")
def new_commit(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Lines of JSON: a header and the operations. With `create_pr` it is proposed, and the branch stays."""
    if revision != "main":
        raise NotImplementedError(f"a commit to {revision}, which is not the main branch")
    repository = opened(hub, request, name, write=not request.flag("create_pr"))
    author, ref, head = request.known_user().name, MAIN, repository.resolve(MAIN)
    header, *operations = [json.loads(line) for line in request.body.splitlines() if line]
    if header["value"].get("parentCommit", head.id) != head.id:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = changed_files(hub.blobs, head.files, operations)
    title = header["value"]["summary"]
    told: dict[str, Any] = {"success": True}
    if request.flag("create_pr"):
        number = len(repository.pull_requests) + 1
        pull = PullRequest(number=number, title=title, author=author, date=now())
        repository.pull_requests.append(pull)
        ref = pull.ref
        repository.refs[ref] = head.id
        told["pullRequestUrl"] = f"{hub.endpoint}/{name}/discussions/{number}"
    commit = repository.add(ref, files, title=title, author=author)
    return as_json(told | {"commitOid": commit.id, "commitUrl": f"{hub.endpoint}/{name}/commit/{commit.id}"})


def changed_files(blobs: Blobs, files: Mapping[str, File], operations: list[dict[str, Any]]) -> dict[str, File]:
    """The files after the operations of a commit.

    Raises:
        HubError: A large file that was not uploaded.
    """
    after = dict(files)
    for operation in operations:
        value = operation["value"]
        path = value["path"]
        if operation["key"] == "file":
            after[path] = base64.b64decode(value["content"])
        elif operation["key"] == "lfsFile":
            after[path] = blobs.uploaded(path, value["oid"], value["size"])
        else:
            del after[path]
    return after


@route("POST", API + f"/tag{REVISION}")
def new_tag(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Set a tag at a revision; 409 if it is there, wherever."""
    repository = opened(hub, request, name, write=True)
    commit, ref = repository.resolve(revision), f"refs/tags/{request.json()['tag']}"
    if ref in repository.refs:
        raise HubError(409, "Tag reference exists already")
    repository.refs[ref] = commit.id
    return as_json({})
