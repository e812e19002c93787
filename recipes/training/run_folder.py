"""The folder of a run: whether it is finished, its colours, and the progress of its training as table and curve."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recipes.data.images import LabelledImages, training_colours
from recipes.runtime.files import write_csv, write_json
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.images.preprocessing import Colours
from vgg_zoo.json_files import read_object
from vgg_zoo.results import training_of


@dataclass(frozen=True, slots=True)
class RunFolder(OutputFolder):
    """The folder with the files of a training.

    `run.json` (what is learned) and `colours.json` are written at the beginning, `metrics.csv` after every epoch; the
    net, `bad_images.csv` and `learning_curve.png` at the end, and `results.json` last of all.
    """

    @property
    def metrics(self) -> Path:
        """The file with one row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def finished(self) -> bool:
        """Whether the recipe ran to its end here."""
        results = training_of(self.path)
        return results is not None and bool(results["finished"])

    def colours(self, training: LabelledImages) -> Colours:
        """The training images' colours, which are computed once and stored with the run.

        Raises:
            ValueError: The file is damaged.
        """
        file = self.path / "colours.json"
        if not file.exists():
            write_json(file, asdict(training_colours(training)))
        way_out = "delete it, and the same command computes it again"
        kept = read_object(file, way_out, ["mean", "eigenvalues", "eigenvectors"])
        try:
            vectors = tuple(map(tuple, kept.pop("eigenvectors")))
            return Colours(eigenvectors=vectors, **{name: tuple(values) for name, values in kept.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} holds no colours ({error}); {way_out}") from error


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.csv with one row for each epoch; without rows, no file."""
    if rows:
        header = list(rows[-1])  # the latest row has every column; rows of an older version lack some
        write_csv(path, header, [[row.get(name, "") for name in header] for row in rows])
    else:
        path.unlink(missing_ok=True)
