"""How contents come to the Hub before a commit names them: by git-lfs, or by xet."""

import time
from fnmatch import fnmatch
from typing import Any

from tests.hub.local_hub.answers import Answer, HubError, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, REVISION, STORAGE, WEB, Request, opened, route
from tests.hub.local_hub.stored import Large, blob_id, is_large


@route("POST", API + f"/preupload{REVISION}")
def preupload(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Which of the files are large, and the hashes of those that are there already."""
    repository = opened(hub, request, name, write=not request.flag("create_pr"))
    files = repository.resolve(revision).files
    kept_out = files.get(".gitignore", b"")
    patterns = kept_out.decode().split() if isinstance(kept_out, bytes) else []

    def answer(path: str, size: int) -> dict[str, Any]:
        mode = "lfs" if is_large(files, path, size) else "regular"
        ignored = any(fnmatch(path, pattern) for pattern in patterns)
        told = {"path": path, "uploadMode": mode, "shouldIgnore": ignored}
        if path not in files:
            return told
        old = files[path]
        return told | {"oid": old.sha256 if isinstance(old, Large) else blob_id(old)}

    return as_json({"files": [answer(one["path"], one["size"]) for one in request.json()["files"]]})


@route("POST", WEB + r"\.git/info/lfs/objects/batch")
def lfs_batch(hub: LocalHub, request: Request, name: str) -> Answer:
    """Where each large file is to be put; nowhere if it is there already."""
    batch = request.json()
    opened(hub, request, name, write="ref" in batch)  # a proposal names none

    def answer(oid: str, size: int) -> dict[str, Any]:
        told = {"oid": oid, "size": size}
        if hub.blobs.path(oid).exists():
            return told
        upload = {"href": f"{hub.storage}/storage/{oid}"}
        verify = {"href": f"{hub.endpoint}/{name}.git/info/lfs/objects/verify"}
        return told | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}

    objects = [answer(one["oid"], one["size"]) for one in batch["objects"]]
    return as_json({"transfer": "basic", "objects": objects})


@route("POST", WEB + r"\.git/info/lfs/objects/verify")
def lfs_verify(hub: LocalHub, request: Request, name: str) -> Answer:
    """Whether a large file came."""
    opened(hub, request, name)
    wanted = request.json()
    if not hub.blobs.has(wanted["oid"], wanted["size"]):
        raise HubError(404, "LFS object not found, or of another size")
    return as_json({})


@route("PUT", STORAGE)
def put(hub: LocalHub, request: Request, sha256: str) -> Answer:
    """A large file."""
    arriving = hub.blobs.arriving()
    if request.save(arriving) != sha256:
        raise HubError(400, "BadDigest")
    arriving.replace(hub.blobs.path(sha256))
    return Answer(headers={"ETag": f'"{sha256[:32]}"'})


@route("GET", API + r"/xet-(?P<access>read|write)-token" + REVISION)
def xet_token(hub: LocalHub, request: Request, name: str, access: str, revision: str) -> Answer:
    """As JSON for hf_xet, and as headers for huggingface_hub."""
    opened(hub, request, name, write=access == "write" and not request.flag("create_pr"))
    store, expiry = hub.blobs.xet_store, int(time.time()) + 3600
    answer = as_json({"casUrl": store, "exp": expiry, "accessToken": "xet"})
    answer.headers |= {"X-Xet-Cas-Url": store, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expiry)}
    return answer
