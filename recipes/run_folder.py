"""The folder of a run: whose it is, whether it is finished, and what of it to go on from."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recipes.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from recipes.data import LabelledImages, training_colours
from recipes.report import write_json
from vgg_zoo.preprocessing import Colours


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of a run are.

    `run.json` (what is learned) and `colours.json` are written at the beginning, `metrics.csv` after every epoch; the
    net, `bad_images.csv` and `learning_curve.png` at the end, and `results.json` last of all.
    """

    path: Path

    @property
    def identity(self) -> Path:
        """What decides what is learned."""
        return self.path / "run.json"

    @property
    def results(self) -> Path:
        """Errors, counts, hash, versions."""
        return self.path / "results.json"

    @property
    def metrics(self) -> Path:
        """One row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def curve(self) -> Path:
        """The same as a picture."""
        return self.path / "learning_curve.png"

    @property
    def problems(self) -> Path:
        """Images that could not be decoded; there only if there are any."""
        return self.path / "bad_images.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def scores(self) -> Path:
        """The folder of an evaluation's posteriors."""
        return self.path / "scores"

    @property
    def features(self) -> Path:
        """The folder of an extraction's descriptors."""
        return self.path / "features"

    @property
    def finished(self) -> bool:
        """The recipe came to its end here."""
        return self.results.exists() and bool(json.loads(self.results.read_text())["finished"])

    def check(self, overwrite: bool) -> None:
        """Refuse, before any work is done, a folder that holds something else than a run.

        Raises:
            ValueError: The path is a file, or a folder with other things in it and `overwrite` is off.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--output {self.path} is a file; name a folder")
        if self.path.exists() and any(self.path.iterdir()) and not self.identity.exists() and not overwrite:
            raise ValueError(
                f"--output {self.path} exists already and is not the folder of a run; choose another folder, or "
                "replace it with --overwrite"
            )

    def begin(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Make the folder, or make sure that the run in it is this one. Called by one process.

        Args:
            identity: What decides what is learned, as plain data: recipe, classes, counts.
            overwrite: Throw away what is there.

        Raises:
            ValueError: Another run was begun here; the message names the differences.
        """
        if overwrite and self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        identity = json.loads(json.dumps(identity))  # as it is read back: tuples become lists
        if not self.identity.exists():
            write_json(self.identity, identity)
            return
        before = json.loads(self.identity.read_text())
        differences = list(_differences(before, identity))
        if differences:
            raise ValueError(
                f"--output {self.path} holds a run of something else ({'; '.join(differences)}); choose another "
                "folder, or replace it with --overwrite"
            )

    def colours(self, training: LabelledImages) -> Colours:
        """The training images' colours: computed once, and kept with the run."""
        file = self.path / "colours.json"
        if not file.exists():
            write_json(file, asdict(training_colours(training)))
        kept = json.loads(file.read_text())
        vectors = tuple(map(tuple, kept["eigenvectors"]))
        return Colours(mean=tuple(kept["mean"]), eigenvalues=tuple(kept["eigenvalues"]), eigenvectors=vectors)

    def checkpoint(self, resume: str) -> Checkpoint | None:
        """What to go on from.

        Args:
            resume: "auto" takes the newest whole checkpoint, None if there is none; else a checkpoint's folder.

        Raises:
            ValueError: The named checkpoint is incomplete or altered.
        """
        return Checkpoints(self.checkpoints).latest() if resume == "auto" else load_checkpoint(Path(resume))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Any:
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{within}{key}.")
        elif old != new:
            yield f"{within}{key} is {old!r} there and {new!r} now"
