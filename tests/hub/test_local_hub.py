"""The local Hub, asked by the real client: what works, what is refused, and what the client does when things fail."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forked import HEAVY, Forked
from tests.helpers import small
from tests.hub.local_hub import (
    FOREVER,
    IMPATIENT,
    Fault,
    LocalHub,
    before,
    corrupt_body,
    cut_body,
    delay,
    environment,
    lost_response,
    reset,
    short_body,
    sleeps,
    status,
)
from vgg_zoo.weights.folder import save_folder

REPO = "org/vgg_d.test"
WEIGHTS = os.urandom(2_500_000)
BACK_OFF = [1, 2, 4, 8, 8]

PRELUDE = """
import json, os, sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
api, REPO = HfApi(), "org/vgg_d.test"
weights = lambda: Path(os.environ["WEIGHTS"])
def commit(*operations, **options):
    return api.create_commit(REPO, list(operations), **{"commit_message": "Ours"} | options)
def error(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        response = getattr(error, "response", None)
        return [type(error).__name__, str(error), getattr(response, "status_code", None)]
    raise AssertionError("no error")
def tell(**facts): print(json.dumps(facts))
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LocalHub]]:
    """Start Hubs; each must have made no error of its own, and used all its faults."""
    hubs: list[LocalHub] = []

    def started(**options: Any) -> LocalHub:
        tokens = {"writer": "user", "reader": "user", "stranger": "stranger"}
        roles = {"reader": "read"}
        hub = LocalHub(tmp_path / f"hub{len(hubs)}", tokens, {"user": ["org"]}, roles=roles, **options)
        hubs.append(hub)
        return hub

    yield started
    for hub in hubs:
        hub.close()
    assert [error for hub in hubs for error in hub.errors] == []
    assert [hub.planned for hub in hubs] == [0] * len(hubs)


@pytest.fixture
def hub(start: Callable[..., LocalHub]) -> LocalHub:
    """A Hub that holds a repository with weights and a config."""
    hub = start()
    hub.create(REPO)
    hub.commit(REPO, {"model.safetensors": WEIGHTS, "config.json": b"{}", "onnx/dense.onnx": b"onnx"}, title="Theirs")
    return hub


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run code in a process of its own, with the real client; what it tells."""
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)

    def run(hub: LocalHub, code: str, home: str = "home", user: str | None = "writer", **extra: Any) -> dict[str, Any]:
        extra |= {"WEIGHTS": str(tmp_path / "model.safetensors")}
        environ = environment(hub, tmp_path / home, user, **extra)
        process = Forked(["-c", PRELUDE + code], preload=HEAVY, environment=environ, before=IMPATIENT)
        done = process.done(timeout=60)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(told, dict)
        assert told
        return told

    return run


Client = Callable[..., dict[str, Any]]


def count(hub: LocalHub, method: str, part: str) -> int:
    """How many such requests there were."""
    return sum(method == seen and part in path for seen, path in hub.requests)


def ranges(hub: LocalHub) -> list[str | None]:
    """What parts of large files were asked for."""
    return [headers.get("range") for _, path, headers in hub.seen if path.startswith("/storage/")]


def test_a_repository_from_its_creation_to_its_tag(start: Callable[..., LocalHub], client: Client) -> None:
    """One commit of large and small files, its tree, history and refs are what was sent."""
    hub = start(page_size=3)
    told = client(
        hub,
        """
user = api.whoami()
first = str(api.create_repo(REPO, exist_ok=True)), str(api.create_repo(REPO, exist_ok=True))
again = error(api.create_repo, REPO)
card = b"---\\nlicense: mit\\n---\\nCard"
made = commit(Add("model.safetensors", weights()), Add("onnx/dense.onnx", b"onnx"), Add("config.json", b"{}"),
              Add("README.md", card), commit_description="Why")
api.create_tag(REPO, tag="v1")
moved = error(api.create_tag, REPO, tag="v1")
api.create_tag(REPO, tag="v1", exist_ok=True)
tree = list(api.list_repo_tree(REPO, recursive=True, revision="v1"))
top = [entry.path for entry in api.list_repo_tree(REPO)]
refs = api.list_repo_refs(REPO, include_pull_requests=True)
info = api.model_info(REPO, revision="v1", files_metadata=True)
tell(name=user["name"], orgs=[org["name"] for org in user["orgs"]], role=user["auth"]["accessToken"]["role"],
     first=first, again=again, moved=moved, oid=made.oid, url=made.commit_url, top=top, sha=info.sha,
     tree={one.path: [one.size, one.blob_id, one.lfs and one.lfs.sha256] for one in tree if hasattr(one, "blob_id")},
     siblings={one.rfilename: [one.size, one.blob_id, one.lfs and one.lfs.sha256] for one in info.siblings},
     refs=[[ref.ref, ref.target_commit] for ref in refs.branches + refs.tags + refs.pull_requests],
     history=[[one.commit_id, one.title, one.message, one.authors] for one in api.list_repo_commits(REPO)],
     some=[one.path for one in api.get_paths_info(REPO, ["config.json", "onnx", "absent"])])
""",
    )
    assert (told["name"], told["orgs"], told["role"]) == ("user", ["org"], "write")
    assert told["first"] == [f"{hub.endpoint}/{REPO}"] * 2
    assert told["again"][0::2] == ["HfHubHTTPError", 409]
    assert told["moved"][0::2] == ["HfHubHTTPError", 409]
    assert told["top"] == [".gitattributes", "README.md", "config.json", "model.safetensors", "onnx"]
    assert told["some"] == ["config.json", "onnx"]
    first, ours = hub.commits(REPO)[::-1]
    assert told["history"] == [[ours.id, "Ours", "Why", ["user"]], [first.id, "initial commit", "", ["user"]]]
    assert told["sha"] == told["oid"] == ours.id
    assert told["url"].endswith(ours.id)
    assert told["refs"] == [["refs/heads/main", ours.id], ["refs/tags/v1", ours.id]]
    assert hub.tags(REPO) == {"v1": ours.id}
    hashes = hub.sha256s(REPO)
    assert told["tree"] == told["siblings"]
    assert told["tree"].keys() == hashes.keys()
    assert told["tree"]["model.safetensors"][2] == hashes["model.safetensors"]
    assert told["tree"]["onnx/dense.onnx"][2] == hashes["onnx/dense.onnx"]
    for name in ("config.json", ".gitattributes"):
        content = hub.files(REPO)[name]
        assert isinstance(content, bytes)
        git = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)  # noqa: S607
        assert told["tree"][name] == [len(content), git.stdout.decode().strip(), None]


@pytest.mark.parametrize("part_size", [None, 1_000_000])
def test_large_files_are_uploaded_whole_or_in_parts(
    start: Callable[..., LocalHub], client: Client, part_size: int | None
) -> None:
    """They arrive as they are, once; what has not changed is neither sent nor committed; files can be deleted."""
    hub = start(part_size=part_size)
    hub.create(REPO)
    told = client(
        hub,
        """
one = commit(Add("model.safetensors", weights()), Add("config.json", b"{}")).oid
two = commit(Add("model.safetensors", weights()), Add("config.json", b"{}")).oid
three = commit(Add("copy.safetensors", weights()), Add("onnx/dense.onnx", b"onnx"), Delete("config.json")).oid
four = commit(Delete("onnx/"), Add("config.json", b"{}")).oid
tell(oids=[one, two, three, four], absent=error(commit, Delete("absent")))
""",
    )
    one, two, three, four = told["oids"]
    assert one == two
    assert [commit.id for commit in hub.commits(REPO)][:3] == [four, three, one]
    assert told["absent"][0] == "RemoteEntryNotFoundError"
    assert hub.files(REPO, one).keys() == {".gitattributes", "model.safetensors", "config.json"}
    assert hub.files(REPO, three).keys() == {
        ".gitattributes",
        "model.safetensors",
        "copy.safetensors",
        "onnx/dense.onnx",
    }
    assert hub.files(REPO).keys() == {".gitattributes", "model.safetensors", "copy.safetensors", "config.json"}
    sha256, size = hub.files(REPO)["copy.safetensors"]
    assert (size, hub.blob(str(sha256)).read_bytes()) == (len(WEIGHTS), WEIGHTS)
    assert count(hub, "PUT", str(sha256)) == (3 if part_size else 1)
    assert count(hub, "POST", "/complete") == bool(part_size)


def test_a_commit_on_a_stale_parent_is_refused(hub: LocalHub, client: Client) -> None:
    """Somebody else is faster between the upload and the commit: 412, and their commit stays."""
    hub.fail("POST", "/commit/main", before(lambda: hub.commit(REPO, {"config.json": b"{1}"}, title="Faster")))
    told = client(
        hub,
        """
head = api.model_info(REPO).sha
stale = error(commit, Add("config.json", b"{2}"), parent_commit=head)
tell(stale=stale, after=commit(Add("config.json", b"{2}"), parent_commit=api.model_info(REPO).sha).oid)
""",
    )
    assert told["stale"][0::2] == ["HfHubHTTPError", 412]
    assert "A commit has happened since" in told["stale"][1]
    assert [commit.title for commit in hub.commits(REPO)] == ["Ours", "Faster", "Theirs", "initial commit"]
    assert hub.head(REPO) == told["after"]


def test_a_lost_answer_to_a_commit(hub: LocalHub, client: Client) -> None:
    """It was made, the client raises and does not ask again; the same commit anew is none."""
    hub.fail("POST", "/commit/main", lost_response())
    told = client(
        hub,
        """
lost = error(commit, Add("config.json", b"{3}"), Add("model.safetensors", b"new"))
tell(lost=lost, again=commit(Add("config.json", b"{3}"), Add("model.safetensors", b"new")).oid)
""",
    )
    assert told["lost"][0] == "RemoteProtocolError"
    assert [commit.title for commit in hub.commits(REPO)] == ["Ours", "Theirs", "initial commit"]
    assert told["again"] == hub.head(REPO)
    assert count(hub, "POST", "/commit/main") == 1


@pytest.mark.parametrize(
    ("fault", "tries"),
    [(status(503), 6), (reset(), 6), (reset(after=1_000_000), 6), (status(403), 1), (status(400), 1)],
    ids=["503", "reset", "reset in the body", "403", "400"],
)
def test_an_upload_that_always_fails(hub: LocalHub, client: Client, tmp_path: Path, fault: Fault, tries: int) -> None:
    """Five more tries within 23 seconds where that may help, then RuntimeError; nothing is committed."""
    hub.fail("PUT", "^/storage/", fault, FOREVER)
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[::-1])
    told = client(hub, 'tell(error=error(commit, Add("model.safetensors", weights())))')
    assert told["error"][0] == "RuntimeError"
    assert count(hub, "PUT", "/storage/") == tries
    assert sleeps(tmp_path / "home") == BACK_OFF[: tries - 1]
    assert hub.commits(REPO)[0].title == "Theirs"


def test_an_upload_that_fails_a_few_times(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """It starts again at its beginning, and goes through; Retry-After is obeyed, and one second more."""
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS[::-1])
    hub.fail("PUT", "^/storage/", reset(after=1_000_000))
    hub.fail("PUT", "^/storage/", status(503, Retry_After="5"))
    hub.fail("PUT", "^/storage/", lost_response())
    hub.fail("POST", "/verify$", status(500))
    told = client(hub, 'tell(oid=commit(Add("model.safetensors", weights())).oid)')
    assert told["oid"] == hub.head(REPO)
    assert sleeps(tmp_path / "home") == [1, 6, 4, 1]
    sha256, _ = hub.files(REPO)["model.safetensors"]
    assert hub.blob(str(sha256)).read_bytes() == WEIGHTS[::-1]


def test_what_is_retried_and_what_is_not(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """After one 503 each; some clients retry the first page of a list as well, and our commands count on none of it."""
    once = {
        "whoami": ("GET", "/whoami-v2"),
        "create_repo": ("POST", "/repos/create"),
        "validate_yaml": ("POST", "/validate-yaml"),
        "commit": ("POST", "/commit/"),
        "tag": ("POST", "/tag/"),
        "info": ("GET", "/revision/"),
        "refs": ("GET", "/refs$"),
        "paths": ("POST", "/paths-info/"),
        "discussions": ("GET", "/discussions"),
    }
    again = {"preupload": ("POST", "/preupload/"), "batch": ("POST", "/batch$")}
    either = {"tree": ("GET", "/tree/"), "commits": ("GET", "/commits/")}
    for method, pattern in (once | again | either).values():
        hub.fail(method, pattern, status(503))
    told = client(
        hub,
        """
def listed(function):
    try:
        return len(list(function(REPO)))
    except HfHubHTTPError:
        return len(list(function(REPO)))
api.preupload_lfs_files(REPO, [Add("new.safetensors", b"new")])
tell(whoami=error(api.whoami), create_repo=error(api.create_repo, REPO, exist_ok=True),
     validate_yaml=error(commit, Add("README.md", b"---\\nlicense: mit\\n---")), commit=error(commit, Add("a", b"a")),
     tag=error(api.create_tag, REPO, tag="v1"), info=error(api.model_info, REPO, revision="main"),
     refs=error(api.list_repo_refs, REPO), paths=error(api.get_paths_info, REPO, ["config.json"]),
     discussions=error(lambda: list(api.get_repo_discussions(REPO))),
     worked=[listed(api.list_repo_tree), listed(api.list_repo_commits)])
""",
    )
    assert told.pop("worked") == [4, 2]
    assert told.keys() == once.keys()
    assert {error[0] for error in told.values()} == {"HfHubHTTPError"}
    assert {error[2] for error in told.values()} == {503}
    assert sleeps(tmp_path / "home") in ([1] * len(again), [1] * len(again | either))


def test_a_download_and_its_cache(hub: LocalHub, client: Client) -> None:
    """Whole into a fresh cache; then without a Hub; a pinned commit needs no request; no token goes to the storage."""
    fetch = """
folder = Path(snapshot_download(REPO, revision=os.environ.get("REVISION")))
file = Path(hf_hub_download(REPO, "model.safetensors", revision=os.environ.get("REVISION")))
tell(sha=folder.name, files=sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()),
     same=file.read_bytes() == weights().read_bytes())
"""
    told = client(hub, fetch)
    files = [".gitattributes", "config.json", "model.safetensors", "onnx/dense.onnx"]
    assert told == {"sha": hub.head(REPO), "files": files, "same": True}
    assert count(hub, "GET", "/storage/") == 2
    assert {"/storage/" in path for _, path, headers in hub.seen if "authorization" in headers} == {False}
    before_it = len(hub.requests)
    assert client(hub, fetch, user=None, REVISION=hub.head(REPO)) == told
    assert client(hub, fetch, user=None, HF_HUB_OFFLINE="1") == told
    assert len(hub.requests) == before_it
    assert client(hub, fetch, user=None) == told
    assert count(hub, "GET", "/storage/") == 2


def test_a_download_that_is_cut_goes_on_where_it_was(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """More requests, each with a Range from the last whole block of 10 MiB."""
    hub.commit(REPO, {"big.safetensors": WEIGHTS * 5})
    hub.fail("GET", "^/storage/", cut_body(after=12_000_000))
    hub.fail("GET", "^/storage/", cut_body(after=1_000_000))
    told = client(
        hub,
        'tell(same=Path(hf_hub_download(REPO, "big.safetensors")).read_bytes() == weights().read_bytes() * 5)',
    )
    assert told == {"same": True}
    assert ranges(hub) == [None, "bytes=10485760-", "bytes=10485760-"]
    assert sleeps(tmp_path / "home") == [1, 1]


def test_a_download_that_is_always_cut(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """Five more tries after a second each, from the beginning, for it brings less than 10 MiB."""
    hub.fail("GET", "^/storage/", cut_body(after=1_000_000), FOREVER)
    told = client(hub, 'tell(error=error(hf_hub_download, REPO, "model.safetensors"))')
    assert told["error"][0] == "RemoteProtocolError"
    assert ranges(hub) == [None] * 6
    assert sleeps(tmp_path / "home") == [1] * 5


def test_a_damaged_download(hub: LocalHub, client: Client) -> None:
    """Too short: an error. Of the right size: taken as it is; checking all checksums finds it, force_download heals."""
    hub.fail("GET", "^/storage/", short_body())
    hub.fail("GET", "^/storage/", corrupt_body())
    told = client(
        hub,
        """
short = error(hf_hub_download, REPO, "model.safetensors")
get = lambda **options: Path(hf_hub_download(REPO, "model.safetensors", **options)).read_bytes()
damaged, wanted = get(), weights().read_bytes()
wrong = [place for place in range(len(wanted)) if damaged[place] != wanted[place]]
cached = get() == damaged
found = api.verify_repo_checksums(REPO)
tell(short=short, wrong=wrong, size=len(damaged), cached=cached, found=[one["path"] for one in found.mismatches],
     healed=get(force_download=True) == wanted, clean=len(api.verify_repo_checksums(REPO).mismatches))
""",
    )
    assert told["short"][0] == "OSError"
    assert "Consistency check failed" in told["short"][1]
    assert told["wrong"] == [len(WEIGHTS) // 2]
    assert (told["size"], told["cached"], told["found"]) == (len(WEIGHTS), True, ["model.safetensors"])
    assert (told["healed"], told["clean"]) == (True, 0)


def test_a_hub_that_is_down(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """HEAD: the cache at once, or five tries in 23 seconds and LocalEntryNotFoundError; GET: not tried again."""
    client(hub, 'tell(first=hf_hub_download(REPO, "config.json"))')
    hub.fail("HEAD", "", status(503), FOREVER)
    told = client(
        hub,
        """
cached = Path(hf_hub_download(REPO, "config.json")).read_text()
tell(cached=cached, absent=error(hf_hub_download, REPO, "model.safetensors"))
""",
    )
    assert told["cached"] == "{}"
    assert told["absent"][0] == "LocalEntryNotFoundError"
    assert sleeps(tmp_path / "home") == BACK_OFF
    assert count(hub, "HEAD", "/model.safetensors") == 7
    hub.heal()
    hub.fail("GET", "^/storage/", status(503))
    told = client(hub, 'tell(get=error(hf_hub_download, REPO, "model.safetensors"))', home="other")
    assert told["get"][0::2] == ["HfHubHTTPError", 503]
    assert sleeps(tmp_path / "other") == []


def test_a_slow_hub(hub: LocalHub, client: Client, tmp_path: Path) -> None:
    """The client's patience ends after HF_HUB_ETAG_TIMEOUT seconds, and it tries once more, with more patience."""
    hub.fail("HEAD", "config.json", delay(1.5))
    told = client(
        hub,
        'tell(text=Path(hf_hub_download(REPO, "config.json")).read_text())',
        HF_HUB_ETAG_TIMEOUT="1",
    )
    assert told == {"text": "{}"}
    assert count(hub, "HEAD", "config.json") == 2
    assert sleeps(tmp_path / "home") == []


def test_who_may_do_what(hub: LocalHub, client: Client) -> None:
    """A wrong token, none, one that may only read, a stranger's, and what is hidden or missing."""
    hub.create("org/hidden", private=True)
    ask = """
tell(who=error(api.whoami), create=error(api.create_repo, "org/new"), commit=error(commit, Add("a", b"a")),
     tag=error(api.create_tag, REPO, tag="v1"), hidden=error(api.model_info, "org/hidden"),
     missing=error(api.model_info, "org/missing"))
"""
    wrong = client(hub, ask, user="wrong")
    assert {error[2] for error in wrong.values()} == {401}
    assert "Invalid user token" in wrong["who"][1]
    nobody = client(hub, ask.replace("who=error(api.whoami), ", ""), user=None)
    assert {error[2] for error in nobody.values()} == {401}
    assert nobody["commit"][0] == nobody["hidden"][0] == nobody["missing"][0] == "RepositoryNotFoundError"
    ask = ask.replace("error(api.whoami)", "api.whoami()")
    stranger = client(hub, ask, user="stranger")
    assert [stranger[key][2] for key in ("create", "commit", "tag")] == [403] * 3
    assert [stranger[key][0::2] for key in ("hidden", "missing")] == [["RepositoryNotFoundError", 404]] * 2
    assert 'rights to create a model under the namespace "org"' in stranger["create"][1]
    may_read = ask.replace('error(api.model_info, "org/hidden")', 'api.model_info("org/hidden").id')
    reader = client(hub, may_read, user="reader")
    assert [reader[key][2] for key in ("create", "commit", "tag")] == [403] * 3
    assert reader["who"]["auth"]["accessToken"]["role"] == "read"
    assert reader["hidden"] == "org/hidden"
    told = client(
        hub,
        """
tell(file=error(hf_hub_download, REPO, "absent"), revision=error(hf_hub_download, REPO, "config.json", revision="v9"),
     info=error(api.model_info, REPO, revision="v9"), repository=error(hf_hub_download, "org/missing", "config.json"),
     card=error(commit, Add("README.md", b"---\\nmodel-index: [{name: x, results: [{task: {}}]}]\\n---")))
""",
    )
    assert told["file"][0] == "RemoteEntryNotFoundError"
    assert told["revision"][0] == told["info"][0] == "RevisionNotFoundError"
    assert told["repository"][0] == "RepositoryNotFoundError"
    assert told["card"][0] == "ValueError"
    assert '"model-index[0].results[0].task.type" is required' in told["card"][1]
    assert hub.commits(REPO)[0].title == "Theirs"
    assert hub.tags(REPO) == {}
    assert ("model", "org/new") not in hub.repositories


def test_a_pull_request(hub: LocalHub, client: Client) -> None:
    """A stranger proposes; main stays until it is merged."""
    told = client(
        hub,
        """
made = commit(Add("config.json", b"{4}"), Add("model.safetensors", b"new"), create_pr=True, commit_description="Why")
found = [one for one in api.get_repo_discussions(REPO, discussion_type="pull_request", discussion_status="open")]
details = api.get_discussion_details(REPO, 1)
more = commit(Add("config.json", b"{5}"), revision=details.git_reference).oid
tell(url=made.pr_url, revision=made.pr_revision, num=made.pr_num, more=more, base=details.target_branch,
     found=[[one.num, one.title, one.author, one.status, one.is_pull_request] for one in found],
     events=[event.type for event in details.events],
     text=Path(hf_hub_download(REPO, "config.json", revision="refs/pr/1")).read_text(),
     refs=[ref.target_commit for ref in api.list_repo_refs(REPO, include_pull_requests=True).pull_requests])
""",
        user="stranger",
    )
    assert (told["revision"], told["num"], told["base"]) == ("refs/pr/1", 1, "refs/heads/main")
    assert told["url"] == f"{hub.endpoint}/{REPO}/discussions/1"
    assert told["found"] == [[1, "Ours", "stranger", "open", True]]
    assert (told["text"], told["refs"], told["events"]) == ("{5}", [told["more"]], ["comment", "commit"])
    assert hub.commits(REPO)[0].title == "Theirs"
    assert [(pull.number, pull.author) for pull in hub.pull_requests(REPO)] == [(1, "stranger")]
    assert hub.merge(REPO, 1) == hub.head(REPO)
    assert hub.files(REPO)["config.json"] == b"{5}"
    ask = """
found = list(api.get_repo_discussions(REPO, discussion_status="open"))
tell(open=len(found), status=api.get_discussion_details(REPO, 1).status)
"""
    assert client(hub, ask) == {"open": 0, "status": "merged"}


def test_xet_carries_large_files_both_ways(start: Callable[..., LocalHub], client: Client) -> None:
    """No byte of them goes through the Hub; a client without xet gets the same from its storage."""
    hub = start(xet=True)
    hub.create(REPO)
    told = client(
        hub,
        """
made = commit(Add("model.safetensors", weights()), Add("onnx/dense.onnx", b"onnx" * 30_000), Add("config.json", b"{}"))
again = commit(Add("model.safetensors", weights()))
tell(oid=made.oid, again=again.oid, xet=[one.xet_hash for one in api.get_paths_info(REPO, ["model.safetensors"])])
""",
    )
    assert told["oid"] == told["again"] == hub.head(REPO)
    assert len(told["xet"][0]) == 64
    sha256, size = hub.files(REPO)["model.safetensors"]
    assert (size, hub.blob(str(sha256)).read_bytes()) == (len(WEIGHTS), WEIGHTS)
    fetch = """
folder = Path(snapshot_download(REPO))
file = Path(hf_hub_download(REPO, "model.safetensors", local_dir=folder.parents[3] / "local"))
same = [path.read_bytes() == weights().read_bytes() for path in (file, folder / "model.safetensors")]
found = api.verify_repo_checksums(REPO)
tell(same=same, wrong=len(found.mismatches), checked=found.checked_count)
"""
    assert client(hub, fetch, home="fresh", user=None) == {"same": [True, True], "wrong": 0, "checked": 4}
    assert count(hub, "GET", "/xet-read-token/") in (1, 2)  # older clients ask for each file
    assert count(hub, "GET", "/storage/") + count(hub, "PUT", "/storage/") == 0
    told = client(hub, fetch, home="without", user=None, HF_HUB_DISABLE_XET="1")
    assert told == {"same": [True, True], "wrong": 0, "checked": 4}
    assert count(hub, "GET", "/storage/") == 2


def test_a_lost_answer_to_an_uploaded_folder(start: Callable[..., LocalHub], client: Client, tmp_path: Path) -> None:
    """With xet upload_folder asks again: a second commit of the same, or a 412 after its own success."""
    hub = start(xet=True)
    hub.create(REPO)
    hub.fail("POST", "/commit/main", lost_response())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    code = """
upload = lambda **options: api.upload_folder(repo_id=REPO, folder_path=os.environ["FOLDER"], **options)
tell(oid=upload().oid)
"""
    told = client(hub, code, FOLDER=str(tmp_path / "folder"))
    titles = ["Upload folder using huggingface_hub"] * 2
    assert [commit.title for commit in hub.commits(REPO)] == [*titles, "initial commit"]
    assert told["oid"] == hub.head(REPO)
    hub.fail("POST", "/commit/main", lost_response())
    (tmp_path / "folder" / "config.json").write_text("{1}")
    code = code.replace("oid=upload().oid", "error=error(upload, parent_commit=api.model_info(REPO).sha)")
    told = client(hub, code, FOLDER=str(tmp_path / "folder"))
    assert told["error"][0::2] == ["HfHubHTTPError", 412]
    assert hub.files(REPO)["config.json"] == b"{1}"
    assert sleeps(tmp_path / "home") == [1, 1]


def test_timm_loads_a_net_by_its_address(start: Callable[..., LocalHub], client: Client, tmp_path: Path) -> None:
    """A small net of ours, at a tag and with our package; once it is here, a pinned commit needs no request."""
    model = small("vgg_d")
    folder = tmp_path / "net"
    save_folder(model, folder, tag="test", licence="mit", mean=(1, 2, 3), input_size=(3, 64, 64), crop_pct=0.875)
    hub = start()
    hub.create(REPO)
    sha = hub.commit(REPO, {path.name: path for path in folder.iterdir()})
    hub.tag(REPO, "v1")
    told = client(
        hub,
        """
import timm, vgg_zoo
def load(revision):
    net = timm.create_model(f"hf-hub:{REPO}@{revision}", pretrained=True)
    return [type(net).__name__, net.num_classes, float(sum(p.detach().double().sum() for p in net.parameters()))]
tell(nets=[load("v1"), load(os.environ["SHA"])])
""",
        user=None,
        SHA=sha,
    )
    total = float(sum(parameter.detach().double().sum() for parameter in model.parameters()))
    assert told["nets"] == [["VGG", 5, pytest.approx(total, abs=1e-9)]] * 2
    files = ["config.json", "model.safetensors"]
    asked = [(method, f"/{REPO}/resolve/v1/{name}") for name in files for method in ("HEAD", "GET")][:3]
    assert [one for one in hub.requests if "/storage/" not in one[1]] == asked
    assert count(hub, "GET", "/storage/") == 1


def test_a_hub_that_fails_says_so(tmp_path: Path, client: Client) -> None:
    """Leaving it raises when it was asked for what it does not know, or when its own code broke."""

    def broken() -> None:
        raise ZeroDivisionError

    def work() -> None:
        with LocalHub(tmp_path / "hub", {"writer": "user"}) as hub:
            hub.fail("GET", "whoami", before(broken))
            told = client(hub, "tell(errors=[error(api.delete_repo, 'user/a'), error(api.whoami)])")
            assert [told["errors"][0][2], told["errors"][1][0]] == [404, "RemoteProtocolError"]

    with pytest.raises(RuntimeError, match=r"(?s)does not know DELETE /api/repos/delete.*ZeroDivisionError"):
        work()
