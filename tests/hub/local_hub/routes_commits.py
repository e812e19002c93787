"""What changes a repository: commits, which may open a pull request, and tags."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.hub.local_hub.answers import Answer, HubError, as_json
from tests.hub.local_hub.blobs import Blobs
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, REVISION, Request, is_proposal, opened, route
from tests.hub.local_hub.stored import LARGEST_REGULAR, MAIN, File, PullRequest, now


@route("POST", API + f"/commit{REVISION}")
def new_commit(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Lines of JSON: a header and the operations. With `create_pr` it is proposed, and the branch stays."""
    repository = opened(hub, request, name, write=not is_proposal(request, revision))
    author = request.known_user().name
    header, *operations = [json.loads(line) for line in request.body.splitlines() if line]
    ref = repository.branch(revision)
    head = repository.resolve(ref)
    if header["value"].get("parentCommit", head.id) != head.id:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = changed_files(hub.blobs, head.files, operations)
    title, description = header["value"]["summary"], header["value"].get("description", "")
    told: dict[str, Any] = {"success": True}
    if request.flag("create_pr"):
        if ref != MAIN:
            raise NotImplementedError(f"a pull request to {ref}, which is not the main branch")
        number = len(repository.pull_requests) + 1
        pull = PullRequest(number=number, title=title, description=description, author=author, date=now())
        repository.pull_requests.append(pull)
        ref = pull.ref
        repository.refs[ref] = head.id
        told["pullRequestUrl"] = f"{hub.endpoint}/{name}/discussions/{number}"
    commit = repository.add(ref, files, title=title, description=description, author=author)
    return as_json(told | {"commitOid": commit.id, "commitUrl": f"{hub.endpoint}/{name}/commit/{commit.id}"})


def changed_files(blobs: Blobs, files: Mapping[str, File], operations: list[dict[str, Any]]) -> dict[str, File]:
    """The files after the operations of a commit.

    Raises:
        HubError: A regular file that is too large, a large one that was not uploaded, or none to delete.
    """
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
            after[path] = blobs.uploaded(path, value["oid"], value["size"])
        else:
            gone = [one for one in after if one == path or one.startswith(path.rstrip("/") + "/")]
            if not gone:
                raise HubError(404, f"A file with the name {path!r} does not exist", "EntryNotFound")
            for one in gone:
                del after[one]
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
