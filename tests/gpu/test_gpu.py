"""What only a real GPU can show: the sections of `python -m benchmarks.gpu`, one by one. Nothing here is timed."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.card.report import FAILED
from benchmarks.card.sections import SECTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.gpu
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_passes_on_the_gpu(section: str, gpu_environment: dict[str, str], tmp_path: Path) -> None:
    """Whatever it checks; goals of speed are written down, and not asserted."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--sections", section, "--output", str(tmp_path / "gpu")]
    done = subprocess.run(command, cwd=ROOT, env=gpu_environment, check=False, capture_output=True, text=True)
    assert (tmp_path / "gpu.csv").exists(), done.stderr[-2000:]
    with (tmp_path / "gpu.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line for line in lines if line["verdict"].startswith(FAILED)] == []
    assert done.returncode == 0
    assert len(lines) > 1
