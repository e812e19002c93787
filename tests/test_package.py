"""What is installed, what is printed, and what the README says."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from pkgutil import resolve_name

import pytest

import vgg_zoo
from vgg_zoo.commands.list import zoo_table

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """recipes/, hub/ and tests/ are run from a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"vgg_zoo-{vgg_zoo.__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
        assert folders == {"vgg_zoo", f"vgg_zoo-{vgg_zoo.__version__}.dist-info"}
        names = {"vgg_zoo/weights/folder.py", "vgg_zoo/weights/published.json", "vgg_zoo/fast/winograd.cpp"}
        assert names <= set(archive.namelist())


@pytest.mark.slow
def test_the_zoos_table_can_be_printed() -> None:
    """`python -m vgg_zoo` prints a line for each net."""
    done = subprocess.run([sys.executable, "-m", "vgg_zoo"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == zoo_table()
    assert len(done.stdout.strip().splitlines()) == 8


def test_the_readmes_table_is_the_zoos() -> None:
    """The same nets, layers, parameters, multiply-adds and weights."""
    printed = [re.split(r" {2,}", line.strip()) for line in zoo_table().splitlines()[1:]]
    written = [
        [cell.strip() for cell in line.replace("`", "").strip("| ").split("|")]
        for line in README.splitlines()
        if re.match(r"\| `vgg_\w+` \|", line)  # not a table of weights, whose names have a tag
    ]
    assert [[row[0], *row[2:]] for row in written] == [[row[0], *row[2:]] for row in printed]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http|#)[^)]+)\)", README))))
def test_the_readmes_links_lead_somewhere(path: str) -> None:
    """Every file that the README links to is there."""
    assert (ROOT / path).is_file()


def test_the_papers_map_names_code_and_tests_that_exist() -> None:
    """Every file and every symbol of docs/paper_map.md can be found."""
    text = (ROOT / "docs/paper_map.md").read_text()
    files = set(re.findall(r"`((?:tests|recipes|vgg_zoo|hub)/[\w/]+\.\w+)`", text))
    symbols = set(re.findall(r"`((?:vgg_zoo|recipes|hub)(?:\.\w+)+)", text))
    assert len(files) > 5
    assert len(symbols) > 10
    assert [file for file in files if not (ROOT / file).is_file()] == []
    for symbol in symbols:
        assert resolve_name(symbol) is not None  # raises where a part of the name is not there
    named = set(re.findall(r"`([A-Z]\w+\.\w+)`", text))
    assert named == set(), "write them in full"
