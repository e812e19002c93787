"""A repository on the Hub: which files differ from a folder's, and failures in words."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.hf_api import RepoFile

from hub.repository.remote import Remote, explained


class Tree:
    """A client that lists these files."""

    def __init__(self, *files: RepoFile) -> None:
        self.files = files

    def list_repo_tree(self, *_: Any, **__: Any) -> tuple[RepoFile, ...]:
        """All of them, at any revision."""
        return self.files


def in_lfs(path: str, content: bytes) -> RepoFile:
    """A large file, which the Hub tells by its sha256."""
    lfs = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 1}
    return RepoFile(path=path, size=len(content), oid="0" * 40, lfs=lfs)


def in_git(path: str, content: bytes) -> RepoFile:
    """A small file, which the Hub tells by git's own name of it."""
    name = hashlib.sha1(f"blob {len(content)}".encode() + bytes(1) + content, usedforsecurity=False).hexdigest()
    return RepoFile(path=path, size=len(content), oid=name)


def test_files_differ_by_their_content(tmp_path: Path) -> None:
    """Not by their size alone, be they in LFS or in git; the Hub's own file is none of ours."""
    for name in ("same.safetensors", "other.safetensors", "same.json", "other.json", "longer.json", "new.json"):
        (tmp_path / name).write_bytes(b"ours")
    there = [
        *(in_lfs("same.safetensors", b"ours"), in_lfs("other.safetensors", b"OURS")),
        *(in_git("same.json", b"ours"), in_git("other.json", b"OURS"), in_git("longer.json", b"ours too")),
        *(in_git("gone.json", b"theirs"), in_git(".gitattributes", b"theirs")),
    ]
    changes = Remote(Tree(*there), "org/net.tag").changes(tmp_path, "main")  # type: ignore[arg-type]
    assert changes.added == ["new.json"]
    assert sorted(changes.changed) == ["longer.json", "other.json", "other.safetensors"]
    assert changes.removed == ["gone.json"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the upload with hf_AbC123xYz failed\nin line 2", "the upload with [token] failed"),
        ("Illegal header value b'Bearer hf_AbC 123'", "Illegal header value b'[token]'"),
        ("no file config.json", "no file config.json"),
    ],
)
def test_a_failure_is_told_without_the_token(said: str, shown: str) -> None:
    """Wherever the client quotes it."""
    assert explained(RuntimeError(said)) == shown
