"""How files leave the Hub: small ones at once, large ones from the storage."""

from tests.hub.local_hub.answers import Answer, HubError
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import REVISION, STORAGE, WEB, Request, opened, route
from tests.hub.local_hub.stored import blob_id


@route("GET HEAD", WEB + f"/resolve{REVISION}/(?P<path>.+)")
def resolve(hub: LocalHub, request: Request, name: str, revision: str, path: str) -> Answer:
    """The file itself, or where it is stored."""
    commit = opened(hub, request, name).resolve(revision)
    at = {"X-Repo-Commit": commit.id}
    if path not in commit.files:
        missing = HubError(404, "Entry not found", "EntryNotFound")
        missing.answer.headers |= at
        raise missing
    file = commit.files[path]
    if isinstance(file, bytes):
        return Answer(content=file, headers=at | {"ETag": f'"{blob_id(file)}"'})
    linked = {"Location": f"{hub.storage}/storage/{file.sha256}", "ETag": f'"{file.sha256[:32]}"'}
    linked |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    if file.xet_hash and hub.xet:
        token = f"{hub.endpoint}/api/models/{name}/xet-read-token/{commit.id}"
        linked |= {"X-Xet-Hash": file.xet_hash, "Link": f'<{token}>; rel="xet-auth"'}
    return Answer(status=302, content=b"Found. Redirecting", headers=at | linked)


@route("GET HEAD", STORAGE)
def stored(hub: LocalHub, request: Request, sha256: str) -> Answer:
    """A large file, always the whole of it."""
    return Answer(content=hub.blobs.path(sha256), headers={"ETag": f'"{sha256}"'})
