"""The recipes' commands as users type them: processes of their own, on the CPU."""

import io
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.runtime.launchers import ON_CPU, launch_command
from tests.forked import ROOT, Forked, run_forked, run_ranks

TINY = "tests/recipes/tiny.py"
ENVIRONMENT = {**os.environ, **ON_CPU, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Command:
    """A script with its options, to be run by so many processes."""

    words: tuple[str, ...]
    processes: int = 1

    @property
    def line(self) -> list[str]:
        """What a user types: Python, or Accelerate's launcher."""
        return [*launch_command(self.processes), *self.words]


def command(script: str, *options: Any, processes: int = 1) -> Command:
    """A script of recipes/."""
    return Command((f"recipes/{script}.py", *map(str, options)), processes)


def train_command(output: Any, *options: Any, recipe: str = TINY, processes: int = 1) -> Command:
    """Training on the digits."""
    fixed = ["--recipe", recipe, "--data", "digits", "--output", output]
    return command("train", *fixed, *options, processes=processes)


def start(asked: Command) -> Forked:
    """Start a single process, to stop or kill it."""
    assert asked.processes == 1
    return Forked(asked.words, environment=ENVIRONMENT)


def run(asked: Command, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever that is."""
    given = {**ENVIRONMENT, **environment}
    if asked.processes == 1:
        return run_forked(asked.words, environment=given)
    return run_ranks(asked.words, asked.processes, environment=given)


ELSEWHERE = """
import os, sys
from recipes import {script}
if os.environ["RANK"] == "1":
    sys.argv[sys.argv.index("--output") + 1] = {elsewhere!r}
    {more}
sys.exit({script}.main(sys.argv[1:]))
"""


def run_elsewhere(asked: Command, elsewhere: Any, more: str = "pass") -> subprocess.CompletedProcess[str]:
    """Run two processes, of which process 1 finds another folder under the name of --output, as on another machine.

    Args:
        asked: A script of recipes/.
        elsewhere: That folder.
        more: Code that makes process 1 differ further.
    """
    script, *words = asked.words
    code = ELSEWHERE.format(script=Path(script).stem, elsewhere=str(elsewhere), more=more)
    return run(Command(("-c", code, *words), 2))


def succeed(asked: Command, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, which must be a good one."""
    done = run(asked, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def run_line(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a whole command line, Python's start included."""
    return subprocess.run(line, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def refusal(main: Callable[[Sequence[str] | None], int], *words: Any, code: int = 1) -> str:
    """The one line in which a command ends, in this process, that cannot do its work; code 2: it is mistyped."""
    with redirect_stderr(io.StringIO()) as said:
        try:
            ended: Any = main(list(map(str, words)))
        except SystemExit as exit_:  # argparse's
            ended = exit_.code
    (line,) = said.getvalue().splitlines()
    assert ended == code, line
    assert line.startswith("error: ")
    return line


def check_written(said: str, *places: Path) -> None:
    """What a command listed is all that there is in some places, and nothing else; a folder stands for its files.

    Args:
        said: What it printed.
        *places: Folders and files that nothing else writes to.
    """
    listed = {Path(path) for path in re.findall(r"^(?:wrote|kept) (.+?) {2,}\d", said, re.MULTILINE)}
    files = {file for place in places for file in (place, *place.rglob("*")) if file.is_file()}
    assert listed
    assert {file for file in files if not listed & {file, *file.parents}} == set()
    assert {path for path in listed if not any(path in (file, *file.parents) for file in files)} == set()
