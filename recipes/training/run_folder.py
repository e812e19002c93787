"""The folder of a run: whose it is, whether it is finished, and what of it to resume from."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recipes.data.images import LabelledImages, training_colours
from recipes.runtime.files import write_csv, write_json
from recipes.runtime.output_folder import OutputFolder
from recipes.training.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from vgg_zoo.images.preprocessing import Colours
from vgg_zoo.results import read_results


@dataclass(frozen=True, slots=True)
class RunFolder(OutputFolder):
    """Where the files of a training are.

    `run.json` (what is learned) and `colours.json` are written at the beginning, `metrics.csv` after every epoch; the
    net, `bad_images.csv` and `learning_curve.png` at the end, and `results.json` last of all.
    """

    @property
    def metrics(self) -> Path:
        """One row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def curve(self) -> Path:
        """The same as a picture."""
        return self.path / "learning_curve.png"

    @property
    def finished(self) -> bool:
        """The recipe came to its end here."""
        return self.results.exists() and bool(read_results(self.path, "training")["finished"])

    def check(self, overwrite: bool) -> None:
        """Refuse, before any work is done, a folder that holds something else than a run.

        Raises:
            ValueError: The path is a file, or a folder with other things in it and `overwrite` is off.
        """
        self.check_is_run(overwrite)

    def colours(self, training: LabelledImages) -> Colours:
        """The training images' colours: computed once, and kept with the run."""
        file = self.path / "colours.json"
        if not file.exists():
            write_json(file, asdict(training_colours(training)))
        kept = json.loads(file.read_text())
        vectors = tuple(map(tuple, kept["eigenvectors"]))
        return Colours(mean=tuple(kept["mean"]), eigenvalues=tuple(kept["eigenvalues"]), eigenvectors=vectors)

    def checkpoint(self, resume: str) -> Checkpoint | None:
        """What to resume from.

        Args:
            resume: "auto" takes the newest whole checkpoint, None if there is none; else a checkpoint's folder.

        Raises:
            ValueError: The named checkpoint is incomplete or altered.
        """
        return Checkpoints(self.checkpoints).latest() if resume == "auto" else load_checkpoint(Path(resume))


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.csv, one row for each epoch; without any there is no file."""
    if rows:
        write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    else:
        path.unlink(missing_ok=True)


def plot_learning_curve(metrics: Path, picture: Path, title: str, loss_name: str, error: tuple[str, str]) -> None:
    """Draw loss, validation error and learning rate over the epochs of metrics.csv.

    Args:
        metrics: The file.
        picture: To write.
        title: Above it.
        loss_name: In words.
        error: The error's column, and its words.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt  # an extra, and slow to import

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]

    def column(name: str) -> Sequence[float]:
        return [float(row[name]) for row in rows]

    figure, (loss, errors) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    loss.plot(epochs, column("training_loss"), color="tab:blue")
    loss.set(xlabel="epoch", ylabel=f"training loss ({loss_name})", yscale="log")
    errors.plot(epochs, [100 * value for value in column(error[0])], color="tab:red", label=error[1])
    errors.set(xlabel="epoch", ylabel="validation error, single crop (%)", ylim=(0, None))
    rate = errors.twinx()
    rate.step(epochs, column("learning_rate"), where="mid", color="0.6", label="learning rate")
    rate.set(ylabel="learning rate", yscale="log")
    errors.legend(handles=[*errors.lines, *rate.lines], loc="center right")
    figure.suptitle(title)
    figure.savefig(picture, dpi=120)
    plt.close(figure)
