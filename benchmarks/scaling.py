"""Training in one and in two processes of one thread each, on one machine: how much of the second core is used.

    python -m benchmarks.scaling [--net vgg_a] [--batch 32] [--steps 3] [--output benchmarks/results/scaling]

Both train the same net on the same global batches of made-up images, by `recipes/train.py --dry-run`, started in turn;
the table gives the median of their steps behind the first.
"""

import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.timing import ROOT, machine, save
from recipes.runtime.command import command_parser
from recipes.runtime.launchers import ON_CPU, launch_command

RECIPE = """from recipes.recipe import Recipe
def recipe():
    return Recipe(model={net!r}, batch_size={batch})
"""


def steps(recipe: Path, processes: int, count: int) -> list[float]:
    """Seconds of each step but the first, in so many processes."""
    command = [*launch_command(processes), "recipes/train.py", "--recipe", str(recipe), "--dry-run", str(count + 1)]
    environment = {**os.environ, **ON_CPU, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if f"in {processes} process(es)" not in done.stdout:
        raise RuntimeError(f"not {processes} process(es) ran:\n{done.stdout}")
    return [float(seconds) for seconds in re.findall(r"^step .*, (\S+) s$", done.stdout, re.MULTILINE)][1:]


def main() -> None:
    """Measure, print and save the table."""
    parser = command_parser(__doc__)
    parser.add_argument("--net", default="vgg_a")
    parser.add_argument("--batch", type=int, default=32, help="global batch")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each start")
    parser.add_argument("--starts", type=int, default=2, help="starts of each number of processes, in turn")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/scaling"))
    args = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.py"
        recipe.write_text(RECIPE.format(net=args.net, batch=args.batch))
        for _ in range(args.starts):
            for processes, found in seconds.items():
                found += steps(recipe, processes, args.steps)
    one, two = (statistics.median(found) for found in seconds.values())
    line = {
        "net": args.net,
        "global batch": str(args.batch),
        "1 process (s/step)": f"{one:.2f}",
        "2 processes (s/step)": f"{two:.2f}",
        "speed-up": f"{one / two:.2f}",
    }
    save(args.output, [line], f"One thread in each process, medians of {args.steps * args.starts}, on: {machine()}.")


if __name__ == "__main__":
    main()
