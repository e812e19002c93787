"""The paper's whole chain of runs in one command: A, then B to E from A, then S=384, then scale jittering.

    python recipes/reproduce.py --data ILSVRC/imagenet-1k --output runs --launcher "accelerate launch"

Runs the recipes in the order in which they stand on each other, each by recipes/train.py. Given again, it skips what
is finished and resumes what is not. Options that it does not know go to recipes/train.py: --workers 8.

    python recipes/reproduce.py --data digits --output runs/small --small     # all of it in some minutes
    python recipes/reproduce.py --data ILSVRC/imagenet-1k --plan              # what there would be to do
"""

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import timm

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.source import add_data_options, data_arguments, data_source
from recipes.data.splits import load_splits
from recipes.recipe import SMALL, Recipe, load_recipe, recipe_names
from recipes.recipe_changes import add_set_option, changed
from recipes.runtime.command import command, command_parser
from recipes.training.run_folder import RunFolder
from vgg_zoo.configurations import configuration

NETS = ("a", "a_lrn", "b", "b_shallow", "c", "d", "e")
KINDS = ("paper", "glorot", "modern", "boxes")
KNOWN_SIZES = {"ILSVRC/imagenet-1k": 1_281_167}
RTX_3090 = 74 * 1_281_167 / (48 * 3600)
"""Training images a second of net D, from 74 epochs of ILSVRC in about 48 hours."""


@dataclass(frozen=True, slots=True)
class Run:
    """One recipe of the chain, and where its folder is."""

    name: str
    recipe: Recipe
    folder: RunFolder

    @property
    def state(self) -> str:
        """What is to be done: "finished", "to resume" or "to do"."""
        if self.folder.finished:
            return "finished"
        return "to resume" if self.folder.checkpoints.exists() else "to do"


def chain(names: Sequence[str], output: Path, changes: Sequence[str] = ()) -> list[Run]:
    """The recipes and all that they stand on, each behind those that it begins with; all with the changes of --set."""

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
    # All nets at one scale before the next scale: the first tables are there first.
    return sorted((name for name in names if variant_of(name) == kind), key=lambda name: load_recipe(name).test_scale)


def plan(runs: Sequence[Run], images: int, rate: float) -> str:
    """The chain as a table: steps and images at the most, and hours at a rate of net D at 224 pixels.

    Args:
        runs: In order.
        images: Of the training set.
        rate: Images of net D that are trained in a second, on all devices together.
    """
    head = ["run", "net", "begins with", "S", "rate", "steps", "images", "hours", "state"]
    rows, total = [], 0.0
    for run in runs:
        recipe, least, most = run.recipe, *run.recipe.train_scales
        steps = recipe.steps(images)
        hours = steps * recipe.batch_size / rate * _relative_cost(recipe) / 3600
        total += 0 if run.folder.finished else hours
        scales = str(least) if least == most else f"[{least};{most}]"
        begins = recipe.init_from or "random weights"
        row = [run.name, recipe.model, begins, scales, f"{recipe.learning_rate:g}", f"{steps:,}"]
        rows.append([*row, f"{steps * recipe.batch_size:,}", f"{hours:.3g}", run.state])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    note = f"about {total:.3g} hours are left, at {rate:g} images/s of net D; steps are at the most"
    return "\n".join([*(line.rstrip() for line in lines), note])


def _relative_cost(recipe: Recipe) -> float:
    """Multiply-adds of training on one image, net D's at 224 pixels being 1; a frozen trunk saves its backward pass."""
    net: Any = timm.create_model(recipe.model, device="meta", **recipe.model_args)
    whole = net.configuration.multiply_adds() / configuration("D").multiply_adds()
    width = recipe.model_args.get("width_multiplier", 1.0)
    return float(whole * (width * recipe.crop_size / 224) ** 2 / (3 if recipe.trainable != "all" else 1))


def train(run: Run, args: argparse.Namespace) -> None:
    """One run, in processes of its own; a signal to stop is handed on to them.

    Raises:
        ValueError: It did not end well.
    """
    launcher = shlex.split(args.launcher) if args.launcher else [sys.executable]
    command = [*launcher, str(Path(__file__).with_name("train.py")), "--recipe", run.name]
    command += ["--output", str(run.folder.path), *data_arguments(args), *args.passed_on]
    command += ["--set", *args.changes] if args.changes else []
    print("$", shlex.join(command), flush=True)
    process = subprocess.Popen(command)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if code != 0:
        raise ValueError(f"{run.name} ended with code {code}; its own words are above. Given again, this resumes it")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; `passed_on` is what of it is for recipes/train.py."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="holds a folder for each run; runs by default"
    )
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS, metavar="NET", help=f"of {', '.join(NETS)}")
    parser.add_argument(
        "--kind", choices=KINDS, default="paper", help="the paper's runs, or others of the same nets; boxes: Appendix A"
    )
    parser.add_argument("--recipes", nargs="+", metavar="NAME", help="these recipes and what they stand on; not --nets")
    parser.add_argument("--small", action="store_true", help="all at a seventh of the pixels and a tenth of the width")
    parser.add_argument("--launcher", help='for example "accelerate launch --num_processes 8"; plain python by default')
    parser.add_argument("--plan", action="store_true", help="print the chain with steps, images and hours; run nothing")
    parser.add_argument("--images", type=int, help="training images for --plan, without looking at --data")
    parser.add_argument(
        "--rate",
        type=float,
        default=RTX_3090,
        help=f"training images a second of net D for --plan, as `train.py --dry-run` prints; {RTX_3090:.0f}: RTX 3090",
    )
    add_set_option(parser)
    add_data_options(parser)
    args, passed_on = parser.parse_known_args(arguments)
    args.passed_on = passed_on
    return args


def run(args: argparse.Namespace) -> None:
    """Plan, or run everything that is not finished."""
    names = args.recipes or names_of(args.nets, args.kind)
    runs = chain([name + SMALL * args.small for name in names], args.output, args.changes)
    if args.plan:
        images = args.images or KNOWN_SIZES.get(args.data) or len(load_splits(data_source(args))[0])
        print(plan(runs, images, args.rate))
        return
    for place, each in enumerate(runs):
        print(f"[{place + 1}/{len(runs)}] {each.name}: {each.state}", flush=True)
        if not each.folder.finished:
            train(each, args)
    print(f"all {len(runs)} runs are finished in {args.output}")


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
