"""How soon every command answers: its help, a mistyped option, and one mistake in a value.

    python -m benchmarks.commands [--rounds 5] [--output benchmarks/results/commands]

Every figure is a median over fresh processes, after one of each that warms the files up. Help is to take at most 0.5 s,
and what is typed wrong at most 1 s. `recipes/launch.py` is left out: its options are torchrun's.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.timing import ROOT, benchmark_parser, machine, medians, save

MISTAKES = {
    "vgg-zoo": "perdict",
    "vgg-zoo list": "nets",
    "vgg-zoo predict": "README.md --model vgg_dd",
    "vgg-zoo explain": "README.md --model vgg_d.oxfrd_in1k",
    "vgg-zoo localise": "README.md --model runs/nowhere --classifier vgg_d",
    "vgg-zoo features": "nowhere.jpg --model vgg_d --out x.npz",
    "vgg-zoo convert": "nowhere.caffemodel --output x",
    "vgg-zoo verify": "vgg_d.tv_in2k",
    "vgg-zoo bench": "--architecture vgg_dd",
    "recipes/train.py": "--recipe digits_vgg_a --data digits --set epoch=3",
    "recipes/evaluate.py": "--model vgg_d --data digits --output x --protocol densee",
    "recipes/fuse.py": "runs/nowhere --output x",
    "recipes/localise.py": "--model vgg_d 4x --classifier vgg_d --data digits --output x",
    "recipes/tables.py": "runs/nowhere",
    "recipes/extract_features.py": "--model vgg_d --data digits --output x --layer fc8",
    "recipes/linear_svm.py": "--protocol voc2008 --data VOCdevkit --output x",
    "recipes/reproduce.py": "--data digits --kind modrn",
    "recipes/check_data.py": "--data ./photoz",
    "recipes/demo/demo.py": "all",
    "recipes/demo/tour.py": "all",
    "python -m hub": "biuld",
    "python -m hub build": "--license apache-2 runs/d --repo me/vgg_d.mine",
    "python -m hub check": "runs/nowhere",
    "python -m hub plan": "runs/nowhere",
    "python -m hub publish": "runs/nowhere",
    "python -m hub verify": "runs/nowhere",
    "python -m hub lock": "runs/nowhere",
}
"""Of each command, what is typed wrong in a value."""

ASKED = {"help": "--help", "typo": "--hepl"}
CODES = {"help": 0, "typo": 2, "mistake": 2}
MOST_SECONDS = {"help": 0.5, "typo": 1.0, "mistake": 1.0}

_VGG_ZOO = "import sys; from vgg_zoo_cli.main import main; sys.exit(main())"
"""What the script that pip installs does."""


def python_words(command: str, options: str) -> list[str]:
    """What follows `python` on the command line."""
    first, *rest = [*command.split(), *options.split()]
    return {"vgg-zoo": ["-c", _VGG_ZOO], "python": []}.get(first, [first]) + rest


def ask(command: str, options: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own."""
    # Without compiled files each process would compile ours again, but not other packages', which pip has compiled.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, *python_words(command, options)]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def measured(
    mistakes: Mapping[str, str], rounds: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, subprocess.CompletedProcess[str]]]]:
    """Of each command and each kind of words the median of the seconds, and what was answered."""
    answers: dict[str, dict[str, subprocess.CompletedProcess[str]]] = {command: {} for command in mistakes}

    def run(command: str, kind: str, options: str) -> None:
        answers[command][kind] = ask(command, options)

    runs: dict[str, Callable[[], object]] = {
        f"{command}\t{kind}": partial(run, command, kind, options)
        for command, mistake in mistakes.items()
        for kind, options in {**ASKED, "mistake": mistake}.items()
    }
    seconds: dict[str, dict[str, float]] = {command: {} for command in mistakes}
    for name, median in medians(runs, rounds).items():
        command, kind = name.split("\t")
        seconds[command][kind] = median
    return seconds, answers


def row(
    command: str, seconds: Mapping[str, float], answers: Mapping[str, subprocess.CompletedProcess[str]]
) -> dict[str, str]:
    """A line of the table."""
    codes = {kind: answer.returncode for kind, answer in answers.items()}
    met = codes == CODES and all(seconds[kind] <= most for kind, most in MOST_SECONDS.items())
    said = answers["mistake"].stderr.strip().splitlines() or [""]
    return {
        "command": f"`{command}`",
        **{f"{kind} (s)": f"{seconds[kind]:.2f}" for kind in CODES},
        "exit codes": ", ".join(map(str, codes.values())),
        "goal": "met" if met else "not met",
        "mistake": f"`{MISTAKES[command]}`",
        "what is said of it": said[-1].replace("|", "\\|"),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "commands", 5, "fresh processes of each kind")
    args = parser.parse_args(words)
    seconds, answers = measured(MISTAKES, args.rounds)
    lines = [row(command, seconds[command], answers[command]) for command in MISTAKES]
    goals = ", ".join(f"{kind} {most:g} s" for kind, most in MOST_SECONDS.items())
    note = f"Medians of {args.rounds} fresh processes on: {machine()}. Goals: at most {goals}; exit codes 0, 2, 2."
    save(args.output, lines, note)


if __name__ == "__main__":
    main()
