"""Every command of the checkout with two command lines of it: one with a mistake in a value, and one that succeeds.

`recipes/launch.py` is left out: its options are torchrun's.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import ROOT


class Typed(NamedTuple):
    """What follows a command on its command line: with a mistake in a value, and as it succeeds."""

    mistake: str
    success: str


COMMANDS = {
    "vgg-zoo": Typed("perdict", "--version"),
    "vgg-zoo list": Typed("nets", ""),
    "vgg-zoo predict": Typed("README.md --model vgg_dd", "photos/digits --model runs/digits --csv predictions.csv"),
    "vgg-zoo explain": Typed("README.md --model vgg_d.oxfrd_in1k", "photos/digits/0.png --model runs/digits"),
    "vgg-zoo localise": Typed(
        "README.md --model runs/nowhere --classifier vgg_d",
        "photos/pasted_digits --model runs/boxes --classifier runs/digits --output localised",
    ),
    "vgg-zoo features": Typed(
        "nowhere.jpg --model vgg_d --out x.npz", "photos/digits --model runs/digits --out features.npz"
    ),
    "vgg-zoo convert": Typed("nowhere.caffemodel --output x", "runs/digits/model.safetensors --output converted"),
    "vgg-zoo verify": Typed("vgg_d.tv_in2k", "runs/digits"),
    "vgg-zoo bench": Typed("--architecture vgg_dd", "--architecture vgg_a --seconds 20"),
    "recipes/train.py": Typed(
        "--recipe digits_vgg_a --data digits --set epoch=3",
        "--recipe digits_vgg_a --data digits --output runs/digits --set epochs=4 milestones=3",
    ),
    "recipes/evaluate.py": Typed(
        "--model vgg_d --data digits --output x --protocol densee",
        "--model runs/digits --data digits --output runs/dense",
    ),
    "recipes/fuse.py": Typed("runs/nowhere --output x", "runs/dense --output runs/fused"),
    "recipes/localise.py": Typed(
        "--model vgg_d 4x --classifier vgg_d --data digits --output x",
        "--model runs/boxes --protocol 1 --data pasted_digits --output runs/localised",
    ),
    "recipes/tables.py": Typed("runs/nowhere", "runs/dense runs/fused"),
    "recipes/extract_features.py": Typed(
        "--model vgg_d --data digits --output x --layer fc8", "--model runs/digits --data digits --output runs/features"
    ),
    "recipes/linear_svm.py": Typed(
        "--protocol voc2008 --data VOCdevkit --output x",
        "--protocol folder --model runs/digits --data digits --C 1 --output runs/svm",
    ),
    "recipes/reproduce.py": Typed(
        "--data digits --kind modrn", "--data digits --small --nets a --set epochs=1 --output runs/chain"
    ),
    "recipes/check_data.py": Typed("--data ./photoz", "--data digits"),
    "recipes/demo/demo.py": Typed("all", "--output runs/demo"),
    "recipes/demo/tour.py": Typed("all", "--model runs/demo/net --output runs/tour"),
    "python -m hub": Typed("biuld", "--help"),
    "python -m hub build": Typed(
        "--license apache-2 runs/d --repo me/vgg_d.mine",
        "runs/digits --repo org/vgg_a.digits --results runs/dense --license apache-2.0",
    ),
    "python -m hub check": Typed("runs/nowhere", "runs/hub/vgg_a.digits"),
    "python -m hub plan": Typed("runs/nowhere", "runs/hub/vgg_a.digits"),
    "python -m hub publish": Typed("runs/nowhere", "runs/hub/vgg_a.digits"),
    "python -m hub verify": Typed("runs/nowhere", "runs/hub/vgg_a.digits"),
    "python -m hub lock": Typed("runs/nowhere", "runs/hub/vgg_a.digits --lock-file lock.json"),
}
"""All of them. What succeeds is run in a folder that `benchmarks/successes.py` prepares, recipes first."""

_VGG_ZOO = "import sys; from vgg_zoo_cli.main import main; sys.exit(main())"
"""What the script that pip installs does."""


def python_words(command: str, options: str) -> list[str]:
    """What follows `python` on the command line, in any folder."""
    first, *rest = [*command.split(), *options.split()]
    if first.endswith(".py"):
        return [str(ROOT / first), *rest]
    return {"vgg-zoo": ["-c", _VGG_ZOO], "python": []}[first] + rest


def ask(
    command: str, options: str, folder: Path = ROOT, environment: Mapping[str, str] = os.environ, *, mixed: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own.

    Args:
        command: Of `COMMANDS`.
        options: What follows it.
        folder: In which it runs.
        environment: Of the process.
        mixed: Put standard error between the lines of standard output, as a terminal shows them.
    """
    # Without compiled files each process would compile ours again, but not other packages', which pip has compiled.
    given = {key: value for key, value in environment.items() if key != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, *python_words(command, options)]
    errors = subprocess.STDOUT if mixed else subprocess.PIPE
    done = subprocess.run(words, cwd=folder, env=given, stdout=subprocess.PIPE, stderr=errors, check=False)
    # Not `text=True`, which makes lines of a progress bar's states.
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), (done.stderr or b"").decode())
