"""The benchmark of how soon commands answer."""

import csv
import subprocess
from pathlib import Path

import pytest

from benchmarks.commands import MISTAKES, main, python_words, row


def answered(code: int, said: str = "") -> subprocess.CompletedProcess[str]:
    """A process that has ended."""
    return subprocess.CompletedProcess([], code, "", said)


@pytest.mark.parametrize(("seconds", "code", "met"), [(0.9, 2, "met"), (1.1, 2, "not met"), (0.9, 1, "not met")])
def test_goals_are_marked(seconds: float, code: int, met: str) -> None:
    """The line that the user reads is in the table, whatever it contains."""
    answers = {"help": answered(0), "typo": answered(2), "mistake": answered(code, "warning\nerror: a|b\n")}
    found = row("vgg-zoo", {"help": 0.5, "typo": 0.2, "mistake": seconds}, answers)
    assert (found["goal"], found["exit codes"], found["what is said of it"]) == (met, f"0, 2, {code}", "error: a\\|b")


def test_words_are_those_of_python() -> None:
    """A script, a module, and what pip installs."""
    assert python_words("recipes/train.py", "--help") == ["recipes/train.py", "--help"]
    assert python_words("python -m hub build", "--help") == ["-m", "hub", "build", "--help"]
    first, code, *rest = python_words("vgg-zoo predict", "a.png --model x")
    assert (first, rest) == ("-c", ["predict", "a.png", "--model", "x"])
    assert "vgg_zoo_cli.main" in code


@pytest.mark.slow
def test_the_command_writes_its_table(tmp_path: Path) -> None:
    """A row for each command, with exit codes 0, 2, 2 and a line of its own."""
    main(["--rounds", "1", "--output", str(tmp_path / "commands")])
    with (tmp_path / "commands.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["command"] for line in lines] == [f"`{command}`" for command in MISTAKES]
    assert {line["exit codes"] for line in lines} == {"0, 2, 2"}
    assert all(line["what is said of it"].startswith("error: ") for line in lines)
    assert (tmp_path / "commands.md").read_text().startswith("| command | help (s) | typo (s) | mistake (s) |")
