"""What `make` says where the installation cannot work: one line with the way out, before anything long begins."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534
NOWHERE = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    **{"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""},
    "VGG_ZOO_DISK_GB": "0",  # the disk is asked first, and may be full where the tests run
}
"""pip's settings where no index answers, and a disk with room enough."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script looks at."""
    shutil.copytree(ROOT / ".ci", tmp_path / "checkout" / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "checkout")
    return tmp_path / "checkout"


def refused(checkout: Path, *words: str, environment: dict[str, str] | None = None, **options: Any) -> str:
    """The one line of an installation that must not work; no .venv is left."""
    line = ["sh", ".ci/install.sh", *words]
    given = {**os.environ, **(environment or {})}
    done = subprocess.run(line, cwd=checkout, env=given, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 1
    assert done.stdout == ""
    (message,) = done.stderr.splitlines()
    assert not (checkout / ".venv").exists()
    return message


def test_a_python_that_is_missing_or_old_is_named(checkout: Path) -> None:
    """With the option that names another one."""
    assert "no 'python9' on this machine; name a Python of 3.10 or newer" in refused(checkout, "python9")
    old = checkout / "old"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9;; *) exit 1;; esac\n')
    old.chmod(0o755)
    assert "is Python 3.9, and 3.10 or newer is needed" in refused(checkout, str(old))


def test_a_constraints_file_that_is_missing_is_named(checkout: Path) -> None:
    """As it was typed."""
    assert "no constraints file 'olddest.txt'" in refused(checkout, sys.executable, "olddest.txt")


def test_a_full_disk_is_told(checkout: Path) -> None:
    """With the free space and the space that is needed."""
    message = refused(checkout, sys.executable, environment={"VGG_ZOO_DISK_GB": "1000000"})
    assert "GB are free here and 1000000 GB are needed" in message


def test_a_folder_that_cannot_be_written_to_is_told(checkout: Path) -> None:
    """To somebody who may read it only."""
    with tempfile.TemporaryDirectory() as outside:  # pytest's own folders are closed to others
        Path(outside).chmod(0o755)
        readable = Path(shutil.copytree(checkout, Path(outside) / "checkout"))
        readable.chmod(0o555)
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
        as_nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        assert f"cannot write to {readable}" in refused(readable, python, **as_nobody)
        readable.chmod(0o755)


@pytest.mark.slow
def test_a_missing_network_is_told(checkout: Path) -> None:
    """Before the gigabytes of PyTorch; the unfinished environment is removed."""
    assert "pip finds no package index" in refused(checkout, sys.executable, environment=NOWHERE)


@pytest.mark.slow
def test_a_missing_network_costs_no_installation(checkout: Path) -> None:
    """A `.venv` of before stays as it was."""
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=checkout, check=True)
    (checkout / ".venv" / "mine").touch()
    done = subprocess.run(
        ["sh", ".ci/install.sh", sys.executable],  # noqa: S607
        cwd=checkout,
        env={**os.environ, **NOWHERE},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert (checkout / ".venv" / "mine").exists()
