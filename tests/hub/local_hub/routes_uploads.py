"""How contents come to the Hub before a commit names them: by git-lfs whole or in parts, or by xet."""

import hashlib
import math
import time
from fnmatch import fnmatch
from typing import Any

from tests.hub.local_hub.answers import BLOCK, Answer, HubError, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, REVISION, STORAGE, WEB, Request, is_proposal, opened, route
from tests.hub.local_hub.stored import Large, blob_id, is_large
from vgg_zoo.weights.hashing import file_digest


@route("POST", API + f"/preupload{REVISION}")
def preupload(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Which of the files are large, and the hashes of those that are there already."""
    repository = opened(hub, request, name, write=not is_proposal(request, revision))
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
    proposal = "ref" not in batch or batch["ref"]["name"].startswith("refs/pr/")
    opened(hub, request, name, write=not proposal)

    def answer(oid: str, size: int) -> dict[str, Any]:
        told = {"oid": oid, "size": size}
        if hub.blob(oid).exists():
            return told
        upload: dict[str, Any] = {"href": f"{hub.storage}/storage/{oid}"}
        if hub.part_size and size > hub.part_size:
            numbers = range(1, math.ceil(size / hub.part_size) + 1)
            parts = {f"{number:05}": f"{hub.storage}/storage/{oid}/part/{number}" for number in numbers}
            header = {"chunk_size": str(hub.part_size)} | parts
            upload = {"href": f"{hub.endpoint}/storage/{oid}/complete", "header": header}
        verify = {"href": f"{hub.endpoint}/{name}.git/info/lfs/objects/verify"}
        return told | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}

    objects = [answer(one["oid"], one["size"]) for one in batch["objects"]]
    in_parts = any("header" in one["actions"]["upload"] for one in objects if "actions" in one)
    return as_json({"transfer": "multipart" if in_parts else "basic", "objects": objects})


@route("POST", WEB + r"\.git/info/lfs/objects/verify")
def lfs_verify(hub: LocalHub, request: Request, name: str) -> Answer:
    """Whether a large file came."""
    opened(hub, request, name)
    wanted = request.json()
    if not hub.blobs.has(wanted["oid"], wanted["size"]):
        raise HubError(404, "LFS object not found, or of another size")
    return as_json({})


@route("PUT", STORAGE + r"(?:/part/(?P<part>\d+))?")
def put(hub: LocalHub, request: Request, sha256: str, part: str = "") -> Answer:
    """A large file, or a part of one."""
    arriving = hub.blobs.arriving()
    found = request.save(arriving)
    if part:
        arriving.replace(hub.blobs.part(sha256, part))
    elif found == sha256:
        arriving.replace(hub.blob(sha256))
    else:
        arriving.unlink()
        raise HubError(400, "BadDigest")
    return Answer(headers={"ETag": f'"{found[:32]}"'})


@route("POST", STORAGE + "/complete")
def complete(hub: LocalHub, request: Request, sha256: str) -> Answer:
    """Join the parts, whose ETags the client must have kept."""
    arriving, digest = hub.blobs.arriving(), hashlib.sha256()
    with arriving.open("wb") as whole:
        for part in request.json()["parts"]:
            file = hub.blobs.part(sha256, part["partNumber"])
            if part["etag"] != f'"{file_digest(file)[:32]}"':
                raise HubError(400, "InvalidPart")
            with file.open("rb") as opened_part:
                while block := opened_part.read(BLOCK):
                    digest.update(block)
                    whole.write(block)
            file.unlink()
    if digest.hexdigest() != sha256:
        raise HubError(400, "BadDigest")
    arriving.replace(hub.blob(sha256))
    return as_json({})


@route("GET", API + r"/xet-(?P<access>read|write)-token" + REVISION)
def xet_token(hub: LocalHub, request: Request, name: str, access: str, revision: str) -> Answer:
    """As JSON for hf_xet, and as headers for huggingface_hub."""
    opened(hub, request, name, write=access == "write" and not is_proposal(request, revision))
    if not hub.xet:
        raise HubError(404, "this local Hub was started without xet")
    store, expiry = hub.blobs.xet_store, int(time.time()) + 3600
    answer = as_json({"casUrl": store, "exp": expiry, "accessToken": "xet"})
    answer.headers |= {"X-Xet-Cas-Url": store, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expiry)}
    return answer
