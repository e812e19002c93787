"""What is installed, what is printed, and what the README says."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from pkgutil import resolve_name

import mypy.api
import pytest

import vgg_zoo
from vgg_zoo_cli.list import zoo

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
        assert folders == {"vgg_zoo", "vgg_zoo_cli", f"vgg_zoo-{vgg_zoo.__version__}.dist-info"}
        names = {
            "vgg_zoo/weights/published.json",
            "vgg_zoo/fast/winograd.cpp",
            "vgg_zoo/fast/amx.cpp",
            "vgg_zoo/py.typed",
        }
        assert names <= set(archive.namelist())


def test_the_readmes_table_is_the_zoos() -> None:
    """The same nets, layers, parameters, multiply-adds and weights."""
    expected: dict[str, list[str]] = {}
    for row in zoo():
        about = [row["net"], str(row["layers"]), f"{row['parameters']:,}", f"{row['gmacs']:.3f}", ""]
        cells = expected.setdefault(row["net"], about)
        cells[-1] = ", ".join(filter(None, [cells[-1], row["name"]]))
    written = [
        [cell.strip() for cell in line.replace("`", "").strip("| ").split("|")]
        for line in README.splitlines()
        if re.match(r"\| `vgg_\w+` \|", line)  # not a table of weights, whose names have a tag
    ]
    found = [[row[0], *row[2:5], row[5].replace("none published", "")] for row in written]
    assert found == list(expected.values())


@pytest.mark.parametrize("page", ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    """Every file that the README and the pages link to is there."""
    paths = re.findall(r"\]\(((?!http|#)[^)#]+)[^)]*\)", (ROOT / page).read_text())
    assert [path for path in paths if not (ROOT / page).parent.joinpath(path).exists()] == []


def test_the_readme_is_short() -> None:
    """The pages have the rest."""
    assert len(README.splitlines()) <= 150


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


def test_dir_shows_the_public_face() -> None:
    """Names and modules that users import, and nothing that the package's own file does; all of them are there."""
    shown = {name for name in dir(vgg_zoo) if not name.startswith("__")}
    modules = {
        path.stem for path in (ROOT / "vgg_zoo").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert shown == {*vgg_zoo.__all__, "ImageDescriptor", *modules} - {"__init__", "__main__", "__version__"}
    assert all(getattr(vgg_zoo, name) is not None for name in {*vgg_zoo.__all__, "ImageDescriptor"})
    assert callable(vgg_zoo.explain)


USER = """
import vgg_zoo

reveal_type(vgg_zoo.DenseEvaluator)
reveal_type(vgg_zoo.DenseEvaluator("vgg_d").predict)
reveal_type(vgg_zoo.Fusion)
reveal_type(vgg_zoo.Localiser)
reveal_type(vgg_zoo.ImageDescriptor)
reveal_type(vgg_zoo.explain)
reveal_type(vgg_zoo.Explanation)
reveal_type(vgg_zoo.fast_inference)
reveal_type(vgg_zoo.fuse)
reveal_type(vgg_zoo.initialise)
reveal_type(vgg_zoo.initialise_from)
reveal_type(vgg_zoo.verify_weights)
reveal_type(vgg_zoo.VGG)
reveal_type(vgg_zoo.BoxVGG)
reveal_type(vgg_zoo.Configuration)
reveal_type(vgg_zoo.TABLE_1)
vgg_zoo.DenseEvaluatr
vgg_zoo.explain("photo.jpg", "vgg_d", scales="256")
"""


@pytest.mark.slow
def test_a_users_type_checker_sees_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every public name, none of them Any; a misspelt name and a wrong argument are errors."""
    assert set(vgg_zoo.__all__) - {"__version__"} <= set(re.findall(r"vgg_zoo\.(\w+)", USER))
    (tmp_path / "user.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYPYPATH", "")
    said, problems, _ = mypy.api.run(["--config-file=", "--cache-dir=cache", "--hide-error-context", "user.py"])
    assert problems == ""
    lines = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("user.py")]
    revealed = [line for line in lines if line.startswith("note: Revealed type")]
    assert len(revealed) == USER.count("reveal_type")
    assert [line for line in revealed if line.endswith('is "Any"')] == []
    assert "list[tuple[str, float]]" in revealed[1].replace("builtins.", "")
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 2, said
    assert 'Module has no attribute "DenseEvaluatr"' in errors[0]
    assert 'Argument "scales" to "explain" has incompatible type' in errors[1]
