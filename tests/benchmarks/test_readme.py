"""The README's figures are those of `benchmarks/results/`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEED = (ROOT / "README.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
MEASURED = {line for file in (ROOT / "benchmarks/results").glob("*.md") for line in file.read_text().splitlines()}


def test_every_line_was_measured() -> None:
    """Each row of each table of the section on speed, digit by digit, in the output of a benchmark."""
    rows = [line for line in SPEED.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in MEASURED] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m benchmarks\.(\w+)", SPEED))))
def test_every_command_is_there(name: str) -> None:
    """Each benchmark that the section names, and what it wrote."""
    assert (ROOT / f"benchmarks/{name}.py").is_file()
