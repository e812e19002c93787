"""`publish` and `plan` on a Hub on which everything goes wrong that can: one commit, or none, and it is said which."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.commands import OTHER, READER, TOKEN, fails, holds, make_hub, python, run, start, succeed
from tests.hub.local_hub import (
    FOREVER,
    Fault,
    LocalHub,
    before,
    delay,
    lost_response,
    reset,
    status,
)
from tests.hub.local_hub.exchange import Exchange
from tests.hub.nets import REPOSITORY, make_built
from vgg_zoo.weights.files import file_digest

COMMIT, UPLOAD = "/commit/main", "/storage/"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder for v1, other weights for v1, and the latter for v2."""
    place = tmp_path_factory.mktemp("built")
    return [make_built(place), make_built(place, 1), make_built(place, 2, f"{REPOSITORY}@v2")]


@pytest.fixture
def folder(versions: list[Path], tmp_path: Path) -> Path:
    """The folder for v1, with no record beside it."""
    return Path(shutil.copytree(versions[0], tmp_path / "folder"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """An empty Hub."""
    with make_hub(tmp_path / "hub") as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of the client."""
    return tmp_path / "home"


def is_published(hub: LocalHub, folder: Path, commits: int = 1) -> bool:
    """In so many commits on top of the Hub's first, with the tag on the last."""
    return (
        holds(hub, folder, REPOSITORY)
        and len(hub.commits(REPOSITORY)) == 1 + commits
        and hub.tags(REPOSITORY) == {"v1": hub.head(REPOSITORY)}
    )


def is_untouched(hub: LocalHub) -> bool:
    """Nothing but the Hub's first commit, if that."""
    return ("model", REPOSITORY) not in hub.repositories or (
        list(hub.files(REPOSITORY)) == [".gitattributes"] and not hub.tags(REPOSITORY)
    )


def test_one_commit_and_then_up_to_date(hub: LocalHub, folder: Path, home: Path) -> None:
    """The second publication sends no file and makes no commit; `plan` says so before and after, and sends nothing."""
    planned = succeed(hub, home, "plan", folder)
    assert f"{REPOSITORY} is not there, or not yours to see; it would be made" in planned
    assert planned.count("would add") == 7
    assert {method for method, _ in hub.requests} <= {"GET", "HEAD"}
    assert "was published: commit" in succeed(hub, home, "publish", folder)
    assert is_published(hub, folder)
    hub.requests.clear()
    assert "is up to date" in succeed(hub, home, "publish", folder)
    assert "is up to date" in succeed(hub, home, "plan", folder)
    assert is_published(hub, folder)
    assert not [path for method, path in hub.requests if method == "PUT" or "/commit/" in path or "/preupload/" in path]


def test_only_three_commands_touch_the_network(hub: LocalHub, folder: Path, home: Path, versions: list[Path]) -> None:
    """build, check and lock ask the Hub nothing."""
    place = versions[0].parent
    words = ["--repo", REPOSITORY, "--results", place / "results0", "--license", "mit"]
    succeed(hub, home, "build", place / "run0", *words, "--output", folder.with_name("again"))
    succeed(hub, home, "check", folder)
    assert "was not published from here" in fails(hub, home, "lock", folder)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("GET", "whoami", status(503)),
        ("POST", "repos/create", status(503)),
        ("POST", "repos/create", lost_response()),
        ("POST", "validate-yaml", status(503)),
        ("POST", "/preupload/", status(503)),
        ("POST", COMMIT, status(503)),
        ("POST", COMMIT, reset(100)),
        ("POST", COMMIT, lost_response()),
        ("PUT", UPLOAD, status(503)),
        ("PUT", UPLOAD, reset(1000)),
        ("POST", "/tag/", status(503)),
        ("POST", "/tag/", lost_response()),
        ("GET", "/tree/", status(503)),
    ],
)
def test_what_fails_once_is_done_in_one_commit(
    hub: LocalHub, folder: Path, home: Path, method: str, path: str, fault: Fault
) -> None:
    """A 503, a broken connection, or an answer that is lost, anywhere on the way."""
    hub.fail(method, path, fault)
    done = run(hub, home, "publish", folder)
    assert hub.planned == 0, "the fault did not come up"
    if done.returncode:  # not every request is worth a second try; then nothing was sent, and the next run does it
        assert "No file was sent" in done.stderr
        assert is_untouched(hub)
        succeed(hub, home, "publish", folder)
    assert is_published(hub, folder)


@pytest.mark.parametrize(
    ("method", "path", "fault", "message"),
    [
        ("PUT", UPLOAD, status(503), "is unchanged; the same command tries again"),
        ("PUT", UPLOAD, reset(1000), "is unchanged; the same command tries again"),
        ("PUT", UPLOAD, status(403), "is unchanged"),
        ("POST", "repos/create", status(503), "cannot make"),
        ("POST", COMMIT, status(503), "is unchanged; the same command tries again"),
        ("POST", COMMIT, status(400), "is unchanged"),
        ("POST", COMMIT, reset(), "is unchanged"),
    ],
)
def test_what_fails_for_ever_changes_nothing(
    hub: LocalHub, folder: Path, home: Path, method: str, path: str, fault: Fault, message: str
) -> None:
    """The message says so; when the Hub is well again the same command succeeds."""
    hub.fail(method, path, fault, FOREVER)
    assert message in fails(hub, home, "publish", folder)
    assert is_untouched(hub)
    hub.heal()
    succeed(hub, home, "publish", folder)
    assert is_published(hub, folder)


def test_somebody_elses_commit_in_between_is_named(hub: LocalHub, folder: Path, home: Path) -> None:
    """Theirs stays as it is, and nothing is put on top of it unseen."""
    hub.create(REPOSITORY)

    def theirs() -> None:
        hub.commit(REPOSITORY, {"notes.txt": b"mine"}, title="My notes", author="eve")

    hub.fail("POST", COMMIT, before(theirs))
    message = fails(hub, home, "publish", folder)
    assert "was moved by somebody else" in message
    assert "'My notes' by eve" in message
    assert set(hub.files(REPOSITORY)) == {".gitattributes", "notes.txt"}
    assert "would remove  notes.txt" in succeed(hub, home, "plan", folder)
    succeed(hub, home, "publish", folder)
    assert is_published(hub, folder, commits=2)


def test_a_lost_answer_is_found_below_somebody_elses_commit(hub: LocalHub, folder: Path, home: Path) -> None:
    """Our commit succeeded but its answer was lost, and somebody committed on top: the tag is on ours."""

    def fault(exchange: Exchange) -> None:
        lost_response()(exchange)
        hub.commit(REPOSITORY, {"notes.txt": b"mine"})

    hub.fail("POST", COMMIT, fault)
    assert "was published" in succeed(hub, home, "publish", folder)
    theirs, ours, first = hub.commits(REPOSITORY)
    assert hub.tags(REPOSITORY) == {"v1": ours.id}
    assert (theirs.title, first.title) == ("Somebody else's commit", "initial commit")


def test_a_tag_is_never_moved(hub: LocalHub, folder: Path, home: Path, versions: list[Path]) -> None:
    """Other weights for the same version are refused before anything is sent; for the next one they are a commit."""
    succeed(hub, home, "publish", folder)
    before_it = hub.head(REPOSITORY)
    hub.requests.clear()
    assert "a tag is never moved" in fails(hub, home, "publish", versions[1])
    assert "publish would refuse" in succeed(hub, home, "plan", versions[1])
    assert not [path for method, path in hub.requests if method == "PUT" or "/commit/" in path]
    succeed(hub, home, "publish", versions[2])
    assert hub.tags(REPOSITORY) == {"v1": before_it, "v2": hub.head(REPOSITORY)}
    assert holds(hub, versions[2], REPOSITORY)
    assert f"is up to date: commit {before_it}" in succeed(hub, home, "publish", folder)


def test_somebody_elses_tag_is_named(hub: LocalHub, folder: Path, home: Path) -> None:
    """Made between our commit and our tag: it stays where it is, and the way out is another version."""

    def theirs() -> None:
        hub.repository(REPOSITORY).refs["refs/tags/v1"] = hub.commits(REPOSITORY)[-1].id

    hub.fail("POST", "/tag/", before(theirs))
    message = fails(hub, home, "publish", folder)
    assert "somebody else's git tag v1 names" in message
    assert "Build the folder again for another version" in message
    assert hub.tags(REPOSITORY) == {"v1": hub.commits(REPOSITORY)[-1].id}


def test_each_version_is_loaded_as_it_was_published(
    hub: LocalHub, folder: Path, home: Path, versions: list[Path]
) -> None:
    """Settings and weights of its tag, not those of the main branch."""
    for published in (folder, versions[2]):
        succeed(hub, home, "publish", published)
    code = f"""
import numpy, torch, vgg_zoo
photo = numpy.arange(70 * 90 * 3, dtype=numpy.uint8).reshape(70, 90, 3)
found = [vgg_zoo.DenseEvaluator.from_pretrained("{REPOSITORY}", revision=tag)([photo]) for tag in ("v1", "v2")]
expected = [vgg_zoo.DenseEvaluator.from_pretrained(place)([photo]) for place in ("{folder}", "{versions[2]}")]
assert torch.equal(torch.cat(found), torch.cat(expected))
assert not torch.equal(*found)
"""
    done = python(hub, home, code)
    assert done.returncode == 0, done.stderr


def test_a_tag_that_cannot_be_made_is_told_and_made_later(hub: LocalHub, folder: Path, home: Path) -> None:
    """The commit is there, and the same command adds the tag and nothing else."""
    hub.fail("POST", "/tag/", status(503), FOREVER)
    assert "holds the folder in the commit" in fails(hub, home, "publish", folder)
    hub.heal()
    assert "is up to date" in succeed(hub, home, "publish", folder)
    assert is_published(hub, folder)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_nobody_has_this", "the Hub does not know the token; `hf auth login`"),
        (None, "there is no token; `hf auth login`"),
        (OTHER, "the token may not do this"),
        (READER, "the token may not do this"),
    ],
)
def test_who_may_not_write_is_told(hub: LocalHub, folder: Path, home: Path, token: str | None, message: str) -> None:
    """A wrong token, none, somebody else's namespace, a token that only reads."""
    assert message in fails(hub, home, "publish", folder, token=token)
    assert is_untouched(hub)


@pytest.mark.parametrize(("method", "path"), [("PUT", UPLOAD), ("POST", COMMIT), ("POST", "/tag/")])
def test_a_kill_in_the_middle_costs_nothing(hub: LocalHub, folder: Path, home: Path, method: str, path: str) -> None:
    """SIGKILL during the upload, the commit, the tag; run again, it is one commit."""
    hub.fail(method, path, delay(30))
    process = start(hub, home, "-m", "hub", "publish", folder, token=TOKEN)
    deadline = time.monotonic() + 120
    while hub.planned and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    succeed(hub, home, "publish", folder)
    assert is_published(hub, folder)


def test_a_pull_request_is_opened_once(hub: LocalHub, folder: Path, home: Path) -> None:
    """The main branch stays; a second one is not opened; merged, the same folder gets its tag."""
    assert "opened the pull request refs/pr/1" in succeed(hub, home, "publish", folder, "--pr")
    assert is_untouched(hub)
    assert "the pull request refs/pr/1 is up to date" in succeed(hub, home, "publish", folder, "--pr")
    assert len(hub.pull_requests(REPOSITORY)) == 1
    hub.merge(REPOSITORY, 1)
    assert "is up to date" in succeed(hub, home, "publish", folder)
    assert hub.tags(REPOSITORY) == {"v1": hub.head(REPOSITORY)}


def test_a_pull_request_whose_answer_is_lost_is_found(hub: LocalHub, folder: Path, home: Path) -> None:
    """And not opened again."""
    hub.fail("POST", COMMIT, lost_response())
    assert "opened the pull request refs/pr/1" in succeed(hub, home, "publish", folder, "--pr")
    assert len(hub.pull_requests(REPOSITORY)) == 1


def test_who_may_only_read_proposes(hub: LocalHub, folder: Path, home: Path) -> None:
    """Once that is merged and the main branch has moved on, the same folder is another pull request."""
    hub.create(REPOSITORY)
    for number in (1, 2):
        done = succeed(hub, home, "publish", folder, "--pr", token=OTHER)
        assert f"opened the pull request refs/pr/{number}" in done
        assert hub.pull_requests(REPOSITORY)[-1].author == "stranger"
        hub.merge(REPOSITORY, number)
        hub.commit(REPOSITORY, {"notes.txt": b"%d" % number})


def test_a_commit_that_lacks_files_gets_no_tag(hub: LocalHub, folder: Path, home: Path) -> None:
    """The client leaves out what the repository's .gitignore names; once that is gone the same command is whole."""
    hub.create(REPOSITORY)
    hub.commit(REPOSITORY, {".gitignore": b"*.onnx"})
    assert "has no git tag; publish again" in fails(hub, home, "publish", folder)
    assert hub.tags(REPOSITORY) == {}
    succeed(hub, home, "publish", folder)
    assert holds(hub, folder, REPOSITORY)
    assert hub.tags(REPOSITORY) == {"v1": hub.head(REPOSITORY)}


def test_a_public_repository_does_not_become_private(hub: LocalHub, folder: Path, home: Path) -> None:
    """Nothing is sent where everybody would read it."""
    hub.create(REPOSITORY)
    assert "exists already and is public; no file was sent" in fails(hub, home, "publish", folder, "--private")
    assert is_untouched(hub)


def test_it_goes_through_xet_too(folder: Path, home: Path, tmp_path: Path) -> None:
    """With the storage that the real Hub uses today, and so does a single file, checked by our hash or by the Hub's."""
    weights = file_digest(folder / "model.safetensors")
    code = f"""
from vgg_zoo.weights.hub_file import checked_file
found = [checked_file("{REPOSITORY}", "model.safetensors", "v1", sha256) for sha256 in ("{weights}", None)]
assert found[0] == found[1]
print(found[0])
"""
    with make_hub(tmp_path / "xet", xet=True) as hub:
        succeed(hub, home, "publish", folder)
        assert is_published(hub, folder)
        assert "the posteriors are the folder's" in succeed(hub, home, "verify", folder)
        done = python(hub, tmp_path / "fresh", code)
        assert done.returncode == 0, done.stderr
        assert file_digest(Path(done.stdout.strip())) == weights
        assert [path for _, path in hub.requests if "xet-write-token" in path]
        assert not [path for _, path in hub.requests if UPLOAD in path]


def test_a_repository_can_be_made_private(hub: LocalHub, folder: Path, home: Path) -> None:
    """Strangers do not see it, and who may write publishes and verifies there."""
    succeed(hub, home, "publish", folder, "--private")
    assert hub.repository(REPOSITORY).private
    assert is_published(hub, folder)
    assert "would be made" in succeed(hub, home, "plan", folder, token=None)
    succeed(hub, home, "verify", folder)
