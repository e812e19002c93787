"""The figures on speed of the README and of docs/speed.md are those of `benchmarks/results/`."""

import re
from pathlib import Path

import pytest

from benchmarks.cpu_summary import MACHINES, claim, lines_of, table
from benchmarks.timing import markdown

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
MEASURED = (ROOT / "docs/speed.md").read_text().partition("\n## Measured\n")[2]
RESULTS = {line for file in (ROOT / "benchmarks/results").glob("*.md") for line in file.read_text().splitlines()}


@pytest.mark.parametrize(("text", "least"), [(README, 4), (MEASURED, 40)])
def test_every_line_was_measured(text: str, least: int) -> None:
    """Each row of each table on speed, digit by digit, in the output of a benchmark."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > least
    assert [row for row in rows if row not in RESULTS] == []


def test_the_summary_is_that_of_the_results() -> None:
    """README's table and what is said of each machine."""
    assert markdown(table("warm")) in README
    assert markdown(table()) in MEASURED
    prose = " ".join(MEASURED.split())
    for file, name in MACHINES.items():
        lines = lines_of(file)
        for ours in ("ours", "ours, bf16"):
            if any(ours in line for line in lines):
                assert f"{name}: `{ours}` is {claim(lines, ours)}" in prose


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m benchmarks\.(\w+)", MEASURED))))
def test_every_command_is_there(name: str) -> None:
    """Each benchmark that is named."""
    assert (ROOT / f"benchmarks/{name}.py").is_file()
