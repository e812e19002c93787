"""What a run leaves behind: metrics.csv, results.json and the learning curve."""

import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vgg_zoo

PACKAGES = ("torch", "timm", "accelerate", "datasets", "pillow", "safetensors")


def append_metrics(path: Path, row: Mapping[str, Any]) -> None:
    """Add one epoch to metrics.csv; the first row brings the header."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write under another name, then rename: a reader never sees half a file."""
    writing = path.with_suffix(".writing")
    writing.write_text(json.dumps(content, indent=2) + "\n")
    writing.replace(path)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()  # hashlib.file_digest came with Python 3.11
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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


def plot_learning_curve(metrics: Path, picture: Path, title: str) -> None:
    """Draw loss, validation error and learning rate over the epochs of metrics.csv."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt  # an extra, and slow to import

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]

    def column(name: str) -> Sequence[float]:
        return [float(row[name]) for row in rows]

    figure, (loss, error) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    loss.plot(epochs, column("training_loss"), color="tab:blue")
    loss.set(xlabel="epoch", ylabel="training loss (cross-entropy)", yscale="log")
    error.plot(epochs, [100 * value for value in column("top1_error")], color="tab:red", label="top-1 error")
    error.set(xlabel="epoch", ylabel="validation error, single crop (%)", ylim=(0, None))
    rate = error.twinx()
    rate.step(epochs, column("learning_rate"), where="mid", color="0.6", label="learning rate")
    rate.set(ylabel="learning rate", yscale="log")
    error.legend(handles=[*error.lines, *rate.lines], loc="center right")
    figure.suptitle(title)
    figure.savefig(picture, dpi=120)
    plt.close(figure)
