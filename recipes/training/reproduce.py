"""The paper's chain of runs, planned and run in its order: the work of recipes/reproduce.py."""

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.options import data_arguments, data_source
from recipes.data.splits import load_splits
from recipes.names import KINDS, SMALL, recipe_names
from recipes.recipe import Recipe, load_recipe
from recipes.recipe_changes import changed
from recipes.runtime.look import already_done, ending, title
from recipes.training.run_folder import RunFolder
from recipes.training.setup import OBJECTIVES
from recipes.training.step_rate import StepRate, measure
from vgg_zoo.configurations import configuration
from vgg_zoo.results import read_results

KNOWN_SIZES = {"ILSVRC/imagenet-1k": 1_281_167}
TRAIN = Path(__file__).resolve().parents[1] / "train.py"
RTX_3090 = 74 * 1_281_167 / (48 * 3600)
"""Training images a second of net D, from 74 epochs of ILSVRC in about 48 hours."""


@dataclass(frozen=True, slots=True)
class Run:
    """One recipe of the chain, and its folder."""

    name: str
    recipe: Recipe
    folder: RunFolder

    @property
    def state(self) -> str:
        """The state of the run: "finished", "to resume" or "to do"."""
        if self.folder.finished:
            return "finished"
        return "to resume" if self.folder.checkpoints.exists() else "to do"


def chain(names: Sequence[str], output: Path, changes: Sequence[str] = ()) -> list[Run]:
    """The recipes and those that they begin with, in an order that can be run; all with the changes of --set."""

    def up_to(name: str) -> list[str]:
        before = load_recipe(name).stands_on
        return [name] if before is None else [*up_to(before), name]

    ordered = dict.fromkeys(one for name in names for one in up_to(name))
    return [Run(name, changed(load_recipe(name), changes), RunFolder(output / name)) for name in ordered]


def names_of(nets: Sequence[str], kind: str) -> list[str]:
    """The recipes of some nets: the paper's, their Glorot variants, the modern ones, or those that learn boxes."""

    def variant_of(name: str) -> str:
        if load_recipe(name).objective == "boxes":
            return "boxes"
        return next((other for other in KINDS[1:] if name.endswith(other)), "paper")

    models = {f"vgg_{net}{last}" for net in nets for last in ("", "_box")}
    names = [name for name in recipe_names() if name.startswith("vgg_") and load_recipe(name).model in models]
    # All nets at one scale before the next scale, so that the first tables are finished first.
    return sorted((name for name in names if variant_of(name) == kind), key=lambda name: load_recipe(name).test_scale)


def plan(runs: Sequence[Run], images: int, rate: float | StepRate | None) -> str:
    """The chain as a table: maximum steps and images, and the time at a given rate of net D at 224 pixels.

    Args:
        runs: The runs in order.
        images: Images of the training set.
        rate: Training images of net D a second on all devices together, or measured on this one; None assumes the rate
            of an RTX 3090.
    """
    per_second = rate.images if isinstance(rate, StepRate) else rate or RTX_3090
    head = ["run", "net", "begins with", "S", "rate", "steps", "images", "time", "state"]
    rows, total = [], 0.0
    for run in runs:
        recipe, least, most = run.recipe, *run.recipe.train_scales
        steps = recipe.steps(images)
        hours = steps * recipe.batch_size / per_second * _relative_cost(recipe) / 3600
        total += 0 if run.folder.finished else hours
        scales = str(least) if least == most else f"[{least};{most}]"
        begins = recipe.init_from or "random weights"
        row = [run.name, recipe.model, begins, scales, f"{recipe.learning_rate:g}", f"{steps:,}"]
        rows.append([*row, f"{steps * recipe.batch_size:,}", in_words(hours), run.state])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    note = f"{in_words(total)} left at {_in_words(rate)}; steps are at the most"
    return "\n".join([*(line.rstrip() for line in lines), note])


def _in_words(rate: float | StepRate | None) -> str:
    if isinstance(rate, StepRate):
        return f"{rate.images:.3g} images/s of net D, {rate.sentence()}"
    if rate is not None:
        return f"{rate:g} images/s of net D"
    return (
        f"{RTX_3090:.0f} images/s of net D, assumed: an RTX 3090's (--measure takes this machine's; --rate takes what "
        "`recipes/train.py --dry-run` prints)"
    )


def in_words(hours: float) -> str:
    """A time in words: "under 1 s", "40 s", "25 min", "12.9 h", "8.2 days"."""
    seconds = hours * 3600
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if hours < 1.5:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.1f} days"


def _relative_cost(recipe: Recipe) -> float:
    """Multiply-adds of training on one image, net D's at 224 pixels being 1; a frozen trunk saves its backward pass."""
    net: Any = timm.create_model(recipe.model, device="meta", **recipe.model_args)
    whole = net.configuration.multiply_adds() / configuration("D").multiply_adds()
    width = recipe.model_args.get("width_multiplier", 1.0)
    return float(whole * (width * recipe.crop_size / 224) ** 2 / (3 if recipe.trainable != "all" else 1))


def train(run: Run, args: argparse.Namespace) -> None:
    """Run one recipe in separate processes; a signal to stop is passed on to them.

    Raises:
        ValueError: It failed.
    """
    launcher = shlex.split(args.launcher) if args.launcher else [sys.executable]
    command = [*launcher, str(TRAIN), "--recipe", run.name]
    command += ["--output", str(run.folder.path), *data_arguments(args), *args.passed_on]
    command += ["--set", *args.changes] if args.changes else []
    command += ["--overwrite"] if args.overwrite else []
    print("$", shlex.join(command), flush=True)
    process = subprocess.Popen(command)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if code != 0:
        without = ", without --overwrite," if args.overwrite else ""
        raise ValueError(
            f"{run.name} ended with code {code}; its messages are above. The same command{without} resumes it"
        )


def run(args: argparse.Namespace) -> None:
    """Print the plan, or run everything that is not finished."""
    names = args.recipes or names_of(args.nets, args.kind)
    runs = chain([name + SMALL * args.small for name in names], args.output, args.changes)
    if args.plan:
        images = args.images or KNOWN_SIZES.get(args.data) or len(load_splits(data_source(args))[0])
        print(plan(runs, images, measure(args.device) if args.measure else args.rate))
        return
    left = [each for each in runs if args.overwrite or not each.folder.finished]
    print(title("reproduce", args.data, f"{len(runs)} run(s), {len(left)} left", str(args.output)), flush=True)
    for place, each in enumerate(runs):
        print(f"[{place + 1}/{len(runs)}] {each.name}: {'again' if args.overwrite else each.state}", flush=True)
        if each in left:
            train(each, args)
    if not left:
        print(already_done(args.output))
    print(ending(errors(runs), {each.folder.path: each.name for each in runs}, "wrote" if left else "kept"))


def errors(runs: Sequence[Run]) -> dict[str, str]:
    """What each finished run found by the last of its tests; a dry run finishes none."""
    found = {}
    for run in (each for each in runs if each.folder.finished):
        name, result = list(read_results(run.folder.path, "training")["results"].items())[-1]
        found[run.name] = f"{name}: {OBJECTIVES[run.recipe.objective](run.recipe).sentence(result)}"
    return found
