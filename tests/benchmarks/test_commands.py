"""The benchmark of what commands answer."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import commands
from benchmarks.command_lines import COMMANDS, python_words
from benchmarks.commands import main, row
from benchmarks.successes import MOST_LINES, Success, shown, successes
from tests.project import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "commands.csv"


def answered(code: int, said: str = "") -> subprocess.CompletedProcess[str]:
    """A process that has ended."""
    return subprocess.CompletedProcess([], code, "", said)


def lines_of(file: Path) -> list[dict[str, str]]:
    """The table that a benchmark wrote."""
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize(
    ("seconds", "code", "success", "met"),
    [(0.9, 2, 0, "met"), (1.1, 2, 0, "not met"), (0.9, 1, 0, "not met"), (0.9, 2, 1, "not met")],
)
def test_goals_are_marked(seconds: float, code: int, success: int, met: str) -> None:
    """The line that the user reads is in the table, whatever it contains."""
    answers = {"help": answered(0), "typo": answered(2), "mistake": answered(code, "warning\nerror: a|b\n")}
    found = row("vgg-zoo", {"help": 0.5, "typo": 0.2, "mistake": seconds}, answers, Success(success, 60, []))
    assert (found["goal"], found["exit codes"]) == (met, f"0, 2, {code}, {success}")
    assert found["what is said of it"] == "error: a\\|b"


def test_words_are_those_of_python() -> None:
    """A script, a module, and what pip installs."""
    assert python_words("recipes/train.py", "--help") == [str(ROOT / "recipes/train.py"), "--help"]
    assert python_words("python -m hub build", "--help") == ["-m", "hub", "build", "--help"]
    first, code, *rest = python_words("vgg-zoo predict", "a.png --model x")
    assert (first, rest) == ("-c", ["predict", "a.png", "--model", "x"])
    assert "vgg_zoo_cli.main" in code


def test_outputs_are_shown_as_a_terminal_shows_them(tmp_path: Path) -> None:
    """The last state of a progress bar, no path of this machine, and the two ends of what is long."""
    folder = tmp_path / "work"
    said = f"$ {sys.executable} {ROOT}/recipes/train.py\n 0%\r50%\r100%\nwrote {folder}/a, {tmp_path}/b\n"
    assert shown(said, folder) == ["$ python ./recipes/train.py", "100%", "wrote ./a, ../b"]
    assert shown("a\n" * (MOST_LINES + 1), folder) == ["a"] * (MOST_LINES + 1)
    long = shown("".join(f"{number}\n" for number in range(100)), folder)
    assert (long[0], long[MOST_LINES // 2], long[-1]) == ("0", "[more lines]", "99")
    assert len(long) == MOST_LINES + 1


def test_the_table_is_of_all_commands() -> None:
    """The committed one has the command lines of today, each of which succeeded and printed something."""
    lines = lines_of(RESULTS)
    found = {line["command"]: (line["mistake"], line["success"]) for line in lines}
    assert found == {f"`{name}`": (f"`{typed.mistake}`", typed.success) for name, typed in COMMANDS.items()}
    assert {line["exit codes"] for line in lines} == {"0, 2, 2, 0"}
    assert all(line["what it printed"] for line in lines)
    page = RESULTS.with_suffix(".md").read_text()
    for name, typed in COMMANDS.items():
        assert f"```text\n{f'$ {name} {typed.success}'.rstrip()}\n" in page
    assert re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", page) is None  # no path of the machine that made it


@pytest.mark.slow
def test_commands_succeed() -> None:
    """In the folder that the benchmark prepares: one of each kind, from a training to a repository on the Hub."""
    names = ["vgg-zoo localise", "recipes/train.py", "recipes/evaluate.py", "python -m hub build"]
    names += ["python -m hub publish", "python -m hub verify"]
    found = successes(names)
    assert {name: success.code for name, success in found.items()} == dict.fromkeys(names, 0), found
    assert any("top-1 error" in line for line in found["recipes/evaluate.py"].printed)
    assert any("was published" in line for line in found["python -m hub publish"].printed)


@pytest.mark.slow
def test_the_command_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each command, with its exit codes and a line of its own; below them what it printed."""
    monkeypatch.setattr(commands, "successes", lambda names: {name: Success(0, 1.5, ["a", "b"]) for name in names})
    main(["--rounds", "1", "--output", str(tmp_path / "commands")])
    lines = lines_of(tmp_path / "commands.csv")
    assert [line["command"] for line in lines] == [f"`{command}`" for command in COMMANDS]
    assert {(line["exit codes"], line["what it printed"]) for line in lines} == {("0, 2, 2, 0", "a\nb")}
    assert all(line["what is said of it"].startswith("error: ") for line in lines)
    text = (tmp_path / "commands.md").read_text()
    assert text.startswith("| command | help (s) | typo (s) | mistake (s) | success (s) |")
    assert "```text\n$ vgg-zoo list\na\nb\n```" in text
