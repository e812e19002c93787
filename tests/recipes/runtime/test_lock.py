"""One run a folder at a time."""

import json
import multiprocessing
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from recipes.runtime import lock
from recipes.runtime.lock import LOCK, hold, release, remove_stale
from recipes.runtime.output_folder import OutputFolder
from tests.forked import Forked, run_forked
from tests.recipes.commands import ENVIRONMENT, train_command

HOLD = "import sys, time; from pathlib import Path; from recipes.runtime.lock import hold; hold(Path(sys.argv[1]), 0.2)"


def another_holder(folder: Path) -> int:
    """A forked process that holds the lock until it is killed; its number."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        hold(folder)
        os.write(told, b"x")
        signal.pause()
    os.read(ready, 1)
    return child


def test_a_folder_in_use_is_refused_by_its_holders_name(tmp_path: Path) -> None:
    """Process, host, command and since when; SIGKILL to it frees the folder."""
    child = another_holder(tmp_path)
    try:
        with pytest.raises(ValueError, match=rf"in use by process {child} on {socket.gethostname()} \(.*\) since 20"):
            hold(tmp_path, patience=0.2)
        remove_stale(tmp_path)
        done = run_forked(["-c", HOLD, tmp_path])
        assert f"in use by process {child}" in done.stderr
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (tmp_path / LOCK).exists()
    remove_stale(tmp_path)
    assert not (tmp_path / LOCK).exists()
    hold(tmp_path, patience=0)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    release()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_ends_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a word on whom."""
    child = another_holder(tmp_path)
    threading.Timer(0.5, os.kill, (child, signal.SIGKILL)).start()
    hold(tmp_path, patience=30)
    os.waitpid(child, 0)
    assert f"waiting up to 30 s for {tmp_path}, which is in use by process {child}" in capsys.readouterr().err
    release()


def _count(folder: Path, rounds: int) -> None:
    for _ in range(rounds):
        hold(folder, patience=60)
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
        release()


def test_no_two_processes_hold_it_at_once(tmp_path: Path) -> None:
    """Four that count in a file, each of which takes and removes the lock 25 times: no number is lost."""
    (tmp_path / "number").write_text("0")
    counting = [multiprocessing.get_context("fork").Process(target=_count, args=(tmp_path, 25)) for _ in range(4)]
    for process in counting:
        process.start()
    for process in counting:
        process.join()
    assert (tmp_path / "number").read_text() == "100"


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And used."""

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    hold(tmp_path)
    release()
    assert "this file system has no locks" in capsys.readouterr().err


def test_overwriting_keeps_the_lock(tmp_path: Path) -> None:
    """Everything else in the folder goes, links without what they name."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "link").symlink_to(tmp_path / "kept")
    folder = OutputFolder(tmp_path / "run")
    folder.begin({"a": 1}, overwrite=True)
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "run.json"]
    assert (tmp_path / "kept").is_dir()
    release()
    folder.check()
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / LOCK).write_text("{}")  # of a run that was killed at its very beginning
    OutputFolder(tmp_path / "left").check()


@pytest.mark.slow
def test_the_second_of_two_runs_waits_and_finds_the_first_finished(tmp_path: Path) -> None:
    """Nothing is trained twice, and nothing is damaged."""
    output = tmp_path / "run"
    words = train_command(output, "--checkpoint-every", 5).words
    patient = "import recipes.runtime.lock as lock; lock.PATIENCE = 300"  # on a busy machine
    runs = [Forked(words, environment=ENVIRONMENT, before=patient) for _ in range(2)]
    done = [one.done(timeout=300) for one in runs]
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert sum("is finished; --overwrite does it again" in one.stdout for one in done) == 1
    assert sum("waiting up to 300 s for" in one.stderr for one in done) == 1
    assert not (output / LOCK).exists()
