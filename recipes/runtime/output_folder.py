"""The folder that a command writes to: whose it is, and which of its files are there."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.runtime.files import provenance, write_json
from recipes.runtime.lock import LOCK, hold
from vgg_zoo.json_files import read_object
from vgg_zoo.results import RESULTS, described
from vgg_zoo.weights.folder import WEIGHTS


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """An --output. `run.json`, what decides the results, is written first, and `results.json` last.

    A command that was killed resumes in it when the same command is given again.
    """

    path: Path

    @property
    def identity(self) -> Path:
        """What decides the results."""
        return self.path / "run.json"

    @property
    def problems(self) -> Path:
        """Images that could not be used; there only if there are any."""
        return self.path / "bad_images.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of a training's checkpoints."""
        return self.path / "checkpoints"

    def check(self, overwrite: bool, training: bool = False) -> None:
        """Refuse, before any work is done, what holds something else; --overwrite must not cost anybody a net.

        Args:
            overwrite: Throw away what is there.
            training: The folder is a training's own, and may hold its net.

        Raises:
            ValueError: The path is a file; a folder with other things in it and `overwrite` is off; or a net's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--output {self.path} is a file; name a folder")
        if self._files() and not self.identity.exists() and not overwrite:
            raise ValueError(
                f"--output {self.path} exists already and is not the folder of a run; choose another folder, or "
                "replace it with --overwrite"
            )
        if not training and ((self.path / WEIGHTS).exists() or self.checkpoints.exists()):
            raise ValueError(f"--output {self.path} is the folder of a net or of its training; choose another one")

    def begin(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Make the folder, or make sure that the run in it is this one; and hold its lock. Called by one process.

        Args:
            identity: What decides the results, as plain data: recipe or net, classes, counts.
            overwrite: Throw away what is there.

        Raises:
            ValueError: Another process uses the folder; another run was begun here, and the message names the
                differences; or run.json is damaged.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        hold(self.path)
        for path in self._files() if overwrite else ():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        identity = json.loads(json.dumps(identity))  # as it is read back: tuples become lists
        if not self.identity.exists():
            write_json(self.identity, identity)
            return
        way_out = f"choose another --output than {self.path}, or replace it with --overwrite"
        before = read_object(self.identity, way_out)
        if not before.keys() - identity.keys():  # of the same command, as far as it tells
            read_object(self.identity, way_out, identity)
        differences = list(_differences(before, identity))
        if differences:
            raise ValueError(
                f"--output {self.path} holds a run of something else ({'; '.join(differences)}); choose another "
                "folder, or replace it with --overwrite"
            )

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.name != LOCK] if self.path.exists() else []

    def write_results(self, kind: str, content: Mapping[str, Any]) -> None:
        """Write results.json, the sign that everything else is there, with what made it.

        Args:
            kind: One of `vgg_zoo.results.KINDS`.
            content: Its fields.
        """
        write_json(self.path / RESULTS, described(kind, {**content, **provenance()}))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{within}{key}.")
        elif old != new:
            yield f"{within}{key} is {old!r} there and {new!r} now"
