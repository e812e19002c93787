"""The folder that a command writes to: which run it belongs to, and which files it has."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.runtime.files import provenance, write_json
from recipes.runtime.lock import LOCK, hold
from recipes.runtime.look import already_done, ending
from vgg_zoo.json_files import read_object
from vgg_zoo.results import RESULTS, described
from vgg_zoo.weights.folder import CONFIG, WEIGHTS

WHAT = {
    RESULTS: "every figure, and what made it",
    "run.json": "what decides the results",
    "bad_images.csv": "images that could not be used, and why",
    WEIGHTS: "the net's weights",
    CONFIG: "the net as timm loads it",
    "colours.json": "mean and principal components of the training images",
    "metrics.csv": "loss and errors of every epoch",
    "learning_curve.png": "loss and errors of every epoch, drawn",
    "checkpoints": "the net at earlier steps",
    "scores": "posteriors of every image",
    "boxes": "classes and boxes found in every image",
    "features": "descriptors of every image",
    "summary.md": "the figures beside the paper's",
    "confusion.png": "which class is taken for which",
    "per_class_ap.png": "average precision of every class",
    "results": "scores for VOC's evaluation server",
}
"""What the files and folders of an --output are, by name."""


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """An --output. `run.json`, which has all that determines the results, is written first, and `results.json` last.

    If a command was killed, the same command resumes it in this folder.
    """

    path: Path

    @property
    def identity(self) -> Path:
        """The file with all that determines the results."""
        return self.path / "run.json"

    @property
    def problems(self) -> Path:
        """The file of images that could not be used; it exists only if there are any."""
        return self.path / "bad_images.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of a training's checkpoints."""
        return self.path / "checkpoints"

    def check(self, training: bool = False) -> None:
        """Refuse, before any work is done, a path with other content; --overwrite must not delete a net by mistake.

        Args:
            training: The folder is that of a training, and may hold its net.

        Raises:
            ValueError: The path is a file; the folder has other content than a run, which --overwrite does not delete;
                or it is a net's folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--output {self.path} is a file; name a folder")
        if not training and ((self.path / WEIGHTS).exists() or self.checkpoints.exists()):
            raise ValueError(f"--output {self.path} is the folder of a net or of its training; choose another one")
        if self._files() and not self.identity.exists():
            raise ValueError(
                f"--output {self.path} exists already and is not the folder of a run, which is all that --overwrite "
                "deletes; choose another folder"
            )

    def begin(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Create the folder, or check that its run is this one; and take its lock. Called by one process.

        Args:
            identity: All that determines the results, as plain data: recipe or net, classes, counts.
            overwrite: Delete the existing content.

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
        if not before.keys() - identity.keys():  # of the same command, according to its keys
            read_object(self.identity, way_out, identity)
        differences = list(_differences(before, identity))
        if differences:
            raise ValueError(
                f"--output {self.path} holds a run of something else ({'; '.join(differences)}); choose another "
                "folder, or replace it with --overwrite"
            )

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.name != LOCK] if self.path.exists() else []

    def write_results(self, kind: str, content: Mapping[str, Any]) -> bool:
        """Write results.json with its origin; its presence means that everything else is complete.

        Args:
            kind: One of `vgg_zoo.results.KINDS`.
            content: The fields of this kind.

        Returns:
            Whether it was written. An existing one with the same content stays, with its origin.
        """
        now, made_by = json.loads(json.dumps(described(kind, content))), provenance()
        with suppress(ValueError):  # a damaged one is replaced
            before = read_object(self.path / RESULTS, "replace it")
            if before == now | {name: before.get(name) for name in made_by}:
                return False
        write_json(self.path / RESULTS, now | made_by)
        return True

    @property
    def repeats(self) -> bool:
        """Whether the command that runs now has finished here before, word for word; to be asked after `begin`."""
        with suppress(ValueError):  # damaged: it is done again
            words = read_object(self.path / RESULTS, "replace it").get("command")
            return isinstance(words, list) and words[2:] == sys.argv[1:]
        return False

    def tell(self, figures: Mapping[str, str], new: bool, beside: Mapping[Path, str] | None = None) -> None:
        """Print the end of a command: figures, and all that is there.

        Args:
            figures: By name.
            new: False of a finished run that was given again: how to do it again is said first.
            beside: Files that were written elsewhere, and what they are.
        """
        if not new:
            print(already_done(self.path))
        there = {path: WHAT.get(path.name, "") for path in sorted(self._files())}
        print(ending(figures, there | dict(beside or {}), "wrote" if new else "kept"))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{within}{key}.")
        elif old != new:
            yield f"{within}{key} is {old!r} there and {new!r} now"
