"""The recipes' commands as users type them: real processes, on the CPU."""

import os
import subprocess
from pathlib import Path
from typing import Any

from recipes.launch import ON_CPU, launch_command

ROOT = Path(__file__).resolve().parents[2]
TINY = "tests/recipes/tiny.py"
ENVIRONMENT = {**os.environ, **ON_CPU, "OMP_NUM_THREADS": "1"}


def command(script: str, *options: Any, processes: int = 1) -> list[str]:
    """The command line of a script of recipes/."""
    return [*launch_command(processes), f"recipes/{script}.py", *map(str, options)]


def train_command(output: Path, *options: Any, recipe: str = TINY, processes: int = 1) -> list[str]:
    """Training on the digits."""
    fixed = ["--recipe", recipe, "--data", "digits", "--output", output]
    return command("train", *fixed, *options, processes=processes)


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever that is."""
    return subprocess.run(
        arguments, cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False
    )


def succeed(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, which must be a good one."""
    done = run(arguments, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done
