"""`python -m hub` as a user types it: a process of its own, with a fresh cache, on a Hub of the tests."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hub.repository.files import files_of
from tests.forked import HEAVY, ROOT, Forked, run_forked
from tests.hub.local_hub import IMPATIENT, LocalHub, environment
from vgg_zoo.weights.files import file_digest

TOKEN, OTHER, READER = "hf_writer_of_org", "hf_of_another", "hf_may_only_read"


def make_hub(folder: Path, **options: Any) -> LocalHub:
    """A Hub with a user who may write to `org`, one who may not, and one whose token only reads."""
    return LocalHub(
        folder,
        {TOKEN: "writer", OTHER: "stranger", READER: "reader"},
        {"writer": ["org"], "reader": ["org"]},
        roles={READER: "read"},
        **options,
    )


def start(hub: LocalHub, home: Path, *words: Any, cwd: Path = ROOT, token: str | None = None) -> Forked:
    """Start Python with these words, to kill it."""
    return Forked(words, preload=HEAVY, cwd=cwd, environment=environment(hub, home, token))


def run(
    hub: LocalHub, home: Path, *words: Any, token: str | None = TOKEN, cwd: Path = ROOT, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its token is never printed."""
    given = environment(hub, home, token, **extra)
    done = run_forked(["-m", "hub", *words], preload=HEAVY, cwd=cwd, environment=given, before=IMPATIENT)
    for secret in (TOKEN, OTHER, READER):
        assert secret not in done.stdout + done.stderr
    return done


def succeed(hub: LocalHub, home: Path, *words: Any, **options: Any) -> str:
    """Run a command that must succeed; what it printed."""
    done = run(hub, home, *words, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def fails(hub: LocalHub, home: Path, *words: Any, **options: Any) -> str:
    """Run a command that must end in one line of error; that line."""
    done = run(hub, home, *words, **options)
    assert done.returncode == 1, done.stdout + done.stderr[-3000:]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    return line


def python(hub: LocalHub, home: Path, code: str, *words: Any, cwd: Path = ROOT, **extra: str) -> Any:
    """Run Python with the package of `cwd`, logged in as nobody."""
    given = environment(hub, home, None, **extra)
    return run_forked(["-c", code, *words], preload=HEAVY, cwd=cwd, environment=given, before=IMPATIENT)


def holds(hub: LocalHub, folder: Path, repository: str) -> bool:
    """Whether the main branch has exactly the folder's files, beside the Hub's own."""
    found = hub.sha256s(repository)
    found.pop(".gitattributes")
    return found == {name: file_digest(folder / name) for name in files_of(folder)}


def package_copy(folder: Path) -> Path:
    """A checkout of its own, whose lock file may be written."""
    for name in ("vgg_zoo", "hub", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
