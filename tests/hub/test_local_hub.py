"""The local Hub, asked by the real client: it holds what it was sent, refuses what the Hub refuses, and fails aloud."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.commands import OTHER, READER, TOKEN, make_hub, python
from tests.hub.local_hub import LocalHub, before

REPO = "org/vgg_d.test"

PRELUDE = """
import json, sys
from huggingface_hub import CommitOperationAdd as Add, HfApi, hf_hub_download
api, REPO = HfApi(), "org/vgg_d.test"
def commit(*operations, api=api, **options):
    return api.create_commit(REPO, list(operations), **{"commit_message": "Ours"} | options).oid
def error(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        return [type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)]
def tell(**facts): print(json.dumps(facts))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """A Hub that holds a repository of somebody's; it must not fail itself."""
    with make_hub(tmp_path / "hub") as hub:
        hub.create(REPO)
        hub.commit(REPO, {"model.safetensors": b"weights", "config.json": b"{}"}, title="Theirs")
        yield hub


def ask(hub: LocalHub, home: Path, code: str, *words: str) -> dict[str, Any]:
    """Run code with the real client in a process of its own; what it tells."""
    done = python(hub, home, PRELUDE + code, *words, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_a_repository_from_its_creation_to_its_tag(tmp_path: Path) -> None:
    """One commit of large and small files; its tree, history and refs have the sent content."""
    with make_hub(tmp_path / "hub") as hub:
        told = ask(
            hub,
            tmp_path / "home",
            """
made = [str(api.create_repo(REPO, exist_ok=True)) for _ in range(2)]
again = error(api.create_repo, REPO)
card = b"---\\nlicense: mit\\n---\\nCard"
ours = commit(Add("model.safetensors", b"weights"), Add("onnx/dense.onnx", b"onnx"), Add("config.json", b"{}"),
              Add("README.md", card))
api.create_tag(REPO, tag="v1")
moved = error(api.create_tag, REPO, tag="v1")
api.create_tag(REPO, tag="v1", exist_ok=True)
tree = list(api.list_repo_tree(REPO, recursive=True, revision="v1"))
refs = api.list_repo_refs(REPO)
tell(made=made, again=again, moved=moved, ours=ours, sha=api.repo_info(REPO, revision="v1").sha,
     tree={one.path: [one.size, one.blob_id, one.lfs and one.lfs.sha256] for one in tree if hasattr(one, "blob_id")},
     refs=[[ref.ref, ref.target_commit] for ref in refs.branches + refs.tags],
     history=[[one.commit_id, one.title, one.authors] for one in api.list_repo_commits(REPO)])
""",
        )
    assert told["made"] == [f"{hub.endpoint}/{REPO}"] * 2
    assert told["again"] == told["moved"] == ["HfHubHTTPError", 409]
    ours, first = hub.commits(REPO)
    assert told["history"] == [[ours.id, "Ours", ["writer"]], [first.id, "initial commit", ["writer"]]]
    assert told["sha"] == told["ours"] == ours.id
    assert told["refs"] == [["refs/heads/main", ours.id], ["refs/tags/v1", ours.id]]
    assert hub.tags(REPO) == {"v1": ours.id}
    hashes, small = hub.sha256s(REPO), (".gitattributes", "README.md", "config.json")
    assert told["tree"].keys() == hashes.keys() == {*small, "model.safetensors", "onnx/dense.onnx"}
    for name, size in (("model.safetensors", 7), ("onnx/dense.onnx", 4)):
        assert told["tree"][name][0::2] == [size, hashes[name]]
    for name in small:
        content = hub.files(REPO)[name]
        assert isinstance(content, bytes)
        git = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)  # noqa: S607
        assert told["tree"][name] == [len(content), git.stdout.decode().strip(), None]


def test_a_commit_on_a_stale_parent_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    """Somebody else is faster between the upload and the commit: 412, and their commit stays."""
    hub.fail("POST", "/commit/main", before(lambda: hub.commit(REPO, {"config.json": b"{1}"}, title="Faster")))
    told = ask(
        hub,
        tmp_path / "home",
        """
head = api.repo_info(REPO).sha
stale = error(commit, Add("config.json", b"{2}"), parent_commit=head)
tell(stale=stale, after=commit(Add("config.json", b"{2}"), parent_commit=api.repo_info(REPO).sha))
""",
    )
    assert told["stale"] == ["HfHubHTTPError", 412]
    assert [commit.title for commit in hub.commits(REPO)] == ["Ours", "Faster", "Theirs", "initial commit"]
    assert hub.head(REPO) == told["after"]


@pytest.mark.slow
def test_who_may_do_what(hub: LocalHub, tmp_path: Path) -> None:
    """A wrong token, no token, a stranger's, a read-only one; missing files, and an invalid card."""
    hub.create("org/hidden", private=True)
    told = ask(
        hub,
        tmp_path / "home",
        """
def asked_with(token):
    api = HfApi(token=token)
    return [error(api.create_repo, "org/new"), error(commit, Add("a", b"a"), api=api),
            error(api.create_tag, REPO, tag="v1"), error(api.repo_info, "org/hidden"),
            error(api.repo_info, "org/missing")]
tell(wrong=asked_with("hf_nobody_has_this"), nobody=asked_with(False), stranger=asked_with(sys.argv[1]),
     reader=asked_with(sys.argv[2]), file=error(hf_hub_download, REPO, "absent"),
     revision=error(hf_hub_download, REPO, "config.json", revision="v9"),
     info=error(api.repo_info, REPO, revision="v9"),
     card=error(commit, Add("README.md", b"---\\nmodel-index: [{name: x, results: [{task: {}}]}]\\n---")))
""",
        OTHER,
        READER,
    )
    refused, missing = ["HfHubHTTPError", 403], ["RepositoryNotFoundError", 404]
    unknown, hidden = ["HfHubHTTPError", 401], ["RepositoryNotFoundError", 401]
    assert told == {
        "wrong": [unknown] * 5,
        "nobody": [unknown, *[hidden] * 4],
        "stranger": [*[refused] * 3, missing, missing],
        "reader": [*[refused] * 3, None, missing],
        "file": ["RemoteEntryNotFoundError", 404],
        "revision": ["RevisionNotFoundError", 404],
        "info": ["RevisionNotFoundError", 404],
        "card": ["ValueError", None],
    }
    assert hub.commits(REPO)[0].title == "Theirs"
    assert hub.tags(REPO) == {}
    assert ("model", "org/new") not in hub.repositories


def test_a_hub_that_fails_says_so(tmp_path: Path) -> None:
    """Leaving it raises when it was asked for what it does not know, or when its own code broke."""

    def broken() -> None:
        raise ZeroDivisionError

    def work() -> None:
        with make_hub(tmp_path / "hub") as hub:
            hub.fail("GET", "whoami", before(broken))
            code = "tell(unknown=error(api.delete_repo, 'org/a'), broken=error(api.whoami))"
            told = ask(hub, tmp_path / "home", code)
            assert (told["unknown"][1], told["broken"][0]) == (404, "RemoteProtocolError")

    with pytest.raises(RuntimeError, match=r"(?s)does not know DELETE /api/repos/delete.*ZeroDivisionError"):
        work()
