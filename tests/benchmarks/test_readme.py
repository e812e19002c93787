"""The README's figures are those of `benchmarks/results/`."""

import re
from pathlib import Path

import pytest

from benchmarks.cpu_table import in_float32, nearest, read_csv, rows

ROOT = Path(__file__).resolve().parents[2]
SPEED = (ROOT / "README.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
PROSE = " ".join(SPEED.split())
MEASURED = {line for file in (ROOT / "benchmarks/results").glob("*.md") for line in file.read_text().splitlines()}


def test_every_line_was_measured() -> None:
    """Each row of each table of the section on speed, digit by digit, in the output of a benchmark."""
    rows = [line for line in SPEED.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in MEASURED] == []


def test_ours_is_the_fastest_where_and_by_as_much_as_is_said() -> None:
    """Beside the nearest peer of each line, in float32 and among all, on machines that are named."""
    results = read_csv(ROOT / "benchmarks/results/cpu.csv")
    lines = [found for found in rows(results) if "ours" in found]
    times = [nearest(found, float32=True).seconds / found["ours"].seconds for found in lines]  # type: ignore[union-attr]
    said = f"{min(times):.2f} to {max(times):.2f} times as fast as its nearest peer"
    assert f"ours is the fastest in float32 in {sum(each > 1 for each in times)} of {len(times)} lines, {said}" in PROSE
    with_bf16 = [found for found in lines if not all(map(in_float32, found))]
    also = sum(nearest(found, float32=False).seconds > found["ours"].seconds for found in with_bf16)  # type: ignore[union-attr]
    assert f"also of those in bfloat16 in {also} of the {len(with_bf16)} lines that have any" in PROSE
    assert all(each.machine.partition(",")[0] in SPEED for each in results)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m benchmarks\.(\w+)", SPEED))))
def test_every_command_is_there(name: str) -> None:
    """Each benchmark that the section names, and what it wrote."""
    assert (ROOT / f"benchmarks/{name}.py").is_file()
