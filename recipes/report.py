"""What a run leaves behind: metrics.csv, results.json and the learning curve."""

import csv
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vgg_zoo
from recipes.data import Problem

PACKAGES = ("torch", "timm", "accelerate", "datasets", "pillow", "safetensors")


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.csv, one row for each epoch; without any there is no file."""
    if rows:
        write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    else:
        path.unlink(missing_ok=True)


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write bad_images.csv: the images that could not be decoded, and why."""
    write_csv(path, [field.name for field in fields(Problem)], [astuple(problem) for problem in problems])


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, its header first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    write_text(path, text.getvalue())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write under another name, then rename: a reader never sees half a file."""
    writing = path.with_name(f".{path.name}.writing")
    writing.write_text(text)
    writing.replace(path)


def provenance() -> dict[str, Any]:
    """The command, the commit and the versions that made a result."""
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {"vgg-zoo": vgg_zoo.__version__} | {name: version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes.strip() else "")


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
