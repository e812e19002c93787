"""What every command answers: its help, a mistyped option, one mistake in a value, and one run that succeeds.

    python -m benchmarks.commands [--rounds 5] [--output benchmarks/results/commands]

The first three are medians over fresh processes, after one of each that warms the files up. Help is to take at most
0.5 s, and what is typed wrong at most 1 s. The run that succeeds is one run, in a temporary folder, on images that come
with scikit-learn; `benchmarks/successes.py` has how. `recipes/launch.py` is left out: its options are torchrun's.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.command_lines import COMMANDS, ask
from benchmarks.successes import Success, successes
from benchmarks.timing import benchmark_parser, machine, medians, write

ASKED = {"help": "--help", "typo": "--hepl"}
CODES = {"help": 0, "typo": 2, "mistake": 2, "success": 0}
MOST_SECONDS = {"help": 0.5, "typo": 1.0, "mistake": 1.0}
NOTE = """A success is the command line below with what it printed (of long outputs the first and last lines); it was
run once, in a temporary folder. `python -m hub` worked with the Hub of the tests, on the same machine."""
"""Below the table."""


def measured(
    rounds: int,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, subprocess.CompletedProcess[str]]]]:
    """Of each command and each kind of words the median of the seconds, and what was answered."""
    answers: dict[str, dict[str, subprocess.CompletedProcess[str]]] = {command: {} for command in COMMANDS}

    def run(command: str, kind: str, options: str) -> None:
        answers[command][kind] = ask(command, options)

    runs: dict[str, Callable[[], object]] = {
        f"{command}\t{kind}": partial(run, command, kind, options)
        for command, typed in COMMANDS.items()
        for kind, options in {**ASKED, "mistake": typed.mistake}.items()
    }
    seconds: dict[str, dict[str, float]] = {command: {} for command in COMMANDS}
    for name, median in medians(runs, rounds).items():
        command, kind = name.split("\t")
        seconds[command][kind] = median
    return seconds, answers


def row(
    command: str,
    seconds: Mapping[str, float],
    answers: Mapping[str, subprocess.CompletedProcess[str]],
    success: Success,
) -> dict[str, str]:
    """A line of the table."""
    codes = {kind: answer.returncode for kind, answer in answers.items()} | {"success": success.code}
    met = codes == CODES and all(seconds[kind] <= most for kind, most in MOST_SECONDS.items())
    said = answers["mistake"].stderr.strip().splitlines() or [""]
    return {
        "command": f"`{command}`",
        **{f"{kind} (s)": f"{seconds[kind]:.2f}" for kind in MOST_SECONDS},
        "success (s)": f"{success.seconds:.1f}",
        "exit codes": ", ".join(map(str, codes.values())),
        "goal": "met" if met else "not met",
        "mistake": f"`{COMMANDS[command].mistake}`",
        "what is said of it": said[-1].replace("|", "\\|"),
    }


def section(command: str, success: Success) -> str:
    """The command line that succeeds, and below it what it printed."""
    return "\n".join([f"```text\n$ {command} {COMMANDS[command].success}".rstrip(), *success.printed, "```"])


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "commands", 5, "fresh processes of each kind")
    args = parser.parse_args(words)
    busy = f"Before the start, the load of the machine was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    seconds, answers = measured(args.rounds)
    succeeded = successes(COMMANDS)
    lines = [row(command, seconds[command], answers[command], succeeded[command]) for command in COMMANDS]
    data = [
        {**line, "success": COMMANDS[command].success, "what it printed": "\n".join(succeeded[command].printed)}
        for command, line in zip(COMMANDS, lines, strict=True)
    ]
    goals = ", ".join(f"{kind} {most:g} s" for kind, most in MOST_SECONDS.items())
    about = f"Medians of {args.rounds} fresh processes on: {machine()}. Goals: at most {goals}; exit codes 0, 2, 2, 0."
    note = "\n\n".join([f"{about} {busy} {NOTE}", *(section(command, succeeded[command]) for command in COMMANDS)])
    print(f"\n{write(args.output, lines, note, data)}")


if __name__ == "__main__":
    main()
