"""Fine-tuning on twelve crops a class: a frozen trunk with Oxford's convolutions, beside the same with random ones.

    python -m benchmarks.finetuning [--seeds 0 1 2] [--output benchmarks/results/finetuning]

The photos, the nets and the commands are those of docs/own_classes.md, at its small size; five classes, 40 images to
test. Each seed has its own crops, FC layers, order and dropout. A figure is the top-1 error of the dense evaluation.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.timing import machine, save
from recipes.runtime.command import command, command_parser
from tests.own_classes import COMMANDS, make_photos, save_trunk, typed

RECIPES = ("finetune_small", "finetune_d_fc")
"""Those that freeze the trunk."""

TRAIN, EVALUATE = COMMANDS[:2]


def top1_error(folder: Path, recipe: str, net: Path, seed: int) -> float:
    """Train and test as the page does."""
    run = f"runs/{recipe}-{net.name}"
    words = [word.replace("runs/photos", run).replace("finetune_small", recipe) for word in TRAIN]
    typed([*words, f"seed={seed}"], folder, net)
    typed([word.replace("runs/photos", run) for word in EVALUATE], folder, net)
    found: float = json.loads((folder / f"{run}_test" / "results.json").read_text())["results"]["top1"]
    return found


def errors_of(seed: int) -> Iterator[tuple[str, str, float]]:
    """Recipe, trunk and error, of one seed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder, seed)
        for net in (save_trunk(folder / "Oxford's", True, seed), save_trunk(folder / "random", False, seed)):
            for recipe in RECIPES:
                yield recipe, net.name, top1_error(folder, recipe, net, seed)


def measure(args: argparse.Namespace) -> None:
    """The table, a line for each recipe and trunk."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for seed in args.seeds:
        for recipe, trunk, error in errors_of(seed):
            line = lines.setdefault((recipe, trunk), {"recipe": recipe, "trunk": trunk})
            line[f"seed {seed}"] = f"{error:.1%}"
            print(f"{recipe}, {trunk} trunk, seed {seed}: top-1 error {error:.1%}", flush=True)
    chance = "chance is 80%; 95% intervals of one figure are up to 30 points wide, as a test has 40 images"
    save(args.output, list(lines.values()), f"Top-1 error, dense; {chance}. On: {machine()}.")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = command_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/finetuning"), help=".md and .csv are added"
    )
    return parser.parse_args(arguments)


main = command(measure, options)

if __name__ == "__main__":
    sys.exit(main())
