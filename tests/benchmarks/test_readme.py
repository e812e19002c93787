"""The README's figures are those of `benchmarks/results/`."""

import re
from itertools import product
from pathlib import Path

import pytest

from benchmarks.cpu_table import read_csv
from benchmarks.nets import NETS

ROOT = Path(__file__).resolve().parents[2]
SPEED = (ROOT / "README.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
MEASURED = {line for file in (ROOT / "benchmarks/results").glob("*.md") for line in file.read_text().splitlines()}


def test_every_line_was_measured() -> None:
    """Each row of each table of the section on speed, digit by digit, in the output of a benchmark."""
    rows = [line for line in SPEED.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in MEASURED] == []


def test_ours_is_the_fastest_by_as_much_as_is_said() -> None:
    """Beside the fastest of all others, in every line of the table of nets."""
    results = read_csv(ROOT / "benchmarks/results/cpu.csv")
    ours = {each.row: each.seconds for each in results if each.implementation == "ours"}
    assert ours.keys() == set(product(NETS, (224, 384, 512), (1, 8)))
    others = [each for each in results if not each.implementation.startswith("ours")]
    times = [min(each.seconds for each in others if each.row == row) / seconds for row, seconds in ours.items()]
    said = f"{min(times):.1f} to {max(times):.1f} times as fast as the next"
    assert f"In all {len(times)} lines ours is the fastest, {said}" in SPEED


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m benchmarks\.(\w+)", SPEED))))
def test_every_command_is_there(name: str) -> None:
    """Each benchmark that the section names, and what it wrote."""
    assert (ROOT / f"benchmarks/{name}.py").is_file()
