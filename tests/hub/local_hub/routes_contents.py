"""What a repository holds: its description, its tree, its refs and its commits."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from tests.hub.local_hub.answers import Answer, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import API, REVISION, Request, opened, route
from tests.hub.local_hub.stored import File, blob_id


@route("GET", API + f"(?:/revision{REVISION})?")
def information(hub: LocalHub, request: Request, name: str, revision: str = "main") -> Answer:
    """The commit of a revision, and the names of its files."""
    repository = opened(hub, request, name)
    commit = repository.resolve(revision)
    return as_json(
        {
            "id": name,
            "modelId": name,
            "author": name.split("/")[0],
            "sha": commit.id,
            "lastModified": commit.date,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }
    )


def entry(path: str, file: File) -> dict[str, Any]:
    """A file as a tree lists it."""
    if isinstance(file, bytes):
        return {"type": "file", "oid": blob_id(file), "size": len(file), "path": path}
    large = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    told = {"type": "file", "oid": blob_id(file), "size": file.size, "path": path, "lfs": large}
    return told | ({"xetHash": file.xet_hash} if file.xet_hash else {})


def listing(files: Mapping[str, File]) -> list[dict[str, Any]]:
    """All files and folders."""
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    found = [entry(path, file) for path, file in files.items()]
    found += [{"type": "directory", "oid": blob_id(path.encode()), "size": 0, "path": path} for path in folders]
    return sorted(found, key=lambda one: one["path"])


@route("GET", API + f"/tree{REVISION}")
def tree(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """All files and folders, which is what is asked for."""
    if not request.flag("recursive"):
        raise NotImplementedError("a tree of which only the top is wanted")
    return as_json(listing(opened(hub, request, name).resolve(revision).files))


@route("POST", API + f"/paths-info{REVISION}")
def paths_information(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """The files and folders of these names that are there."""
    wanted = parse_qs(request.body.decode()).get("paths", [])
    entries = listing(opened(hub, request, name).resolve(revision).files)
    return as_json([one for one in entries if one["path"] in wanted])


@route("GET", API + "/refs")
def references(hub: LocalHub, request: Request, name: str) -> Answer:
    """The main branch and the tags."""
    refs = opened(hub, request, name).refs

    def under(start: str) -> list[dict[str, str]]:
        names = [ref for ref in refs if ref.startswith(start)]
        return [{"name": ref.removeprefix(start), "ref": ref, "targetCommit": refs[ref]} for ref in names]

    return as_json({"branches": under("refs/heads/"), "tags": under("refs/tags/"), "converts": []})


@route("GET", API + f"/commits{REVISION}")
def commit_list(hub: LocalHub, request: Request, name: str, revision: str) -> Answer:
    """Newest first."""
    repository = opened(hub, request, name)
    entries = [
        {
            "id": commit.id,
            "title": commit.title,
            "message": "",
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in repository.history(repository.resolve(revision))
    ]
    return as_json(entries)
