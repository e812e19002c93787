"""What is installed, what is printed, and what the README says."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import mypy.api
import pytest
import readme_renderer.markdown

import vgg_zoo
from tests.project import ROOT, extras, project
from vgg_zoo import extras as extras_of_package
from vgg_zoo_cli.list import zoo

README = (ROOT / "README.md").read_text()
MODULES = {
    str(path.relative_to(ROOT))
    for package in ("vgg_zoo", "vgg_zoo_cli")
    for path in (ROOT / package).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
LARGEST = 200_000
"""Bytes of a file that may be installed or shipped as source."""


class Built(NamedTuple):
    """What `python -m build` makes: the sdist, and out of the sdist the wheel."""

    sdist: Path
    wheel: Path

    @property
    def metadata(self) -> Message:
        """The wheel's."""
        with zipfile.ZipFile(self.wheel) as archive:
            return message_from_bytes(archive.read(f"vgg_zoo-{vgg_zoo.__version__}.dist-info/METADATA"))


def build(folder: Path, *options: str) -> Path:
    """Run `python -m build` on this checkout with the packages that are here."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *options, str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Once for all tests."""
    folder = build(tmp_path_factory.mktemp("dist"))
    stem = f"vgg_zoo-{vgg_zoo.__version__}"
    assert {path.name for path in folder.iterdir()} == {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"}
    return Built(folder / f"{stem}.tar.gz", folder / f"{stem}-py3-none-any.whl")


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """Every file of it: recipes/, hub/, benchmarks/ and tests/ are run from a checkout."""
    about = f"vgg_zoo-{vgg_zoo.__version__}.dist-info"
    with zipfile.ZipFile(built.wheel) as archive:
        files = {file.filename: file.file_size for file in archive.infolist()}
    more = {f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    assert set(files) == MODULES | more
    sources = {f"vgg_zoo/fast/{name}" for name in ("winograd.cpp", "direct.cpp", "amx.cpp", "vectors.h")}
    assert {"vgg_zoo/weights/published.json", *sources} <= MODULES
    assert "vgg_zoo/py.typed" in MODULES
    assert max(files.values()) < LARGEST


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Built) -> None:
    """And what a reader of it wants; no tests, runs, benchmarks or pictures."""
    with tarfile.open(built.sdist) as archive:
        files = {member.name.partition("/")[2]: member.size for member in archive.getmembers() if member.isfile()}
    beside = {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert set(files) == MODULES | beside
    assert max(files.values()) < LARGEST


def test_the_checkout_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """Byte for byte the one that was built out of the sdist."""
    (wheel,) = build(tmp_path, "--wheel").iterdir()
    assert wheel.read_bytes() == built.wheel.read_bytes()


def test_an_index_would_take_them(built: Built) -> None:
    """As twine judges."""
    command = [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_metadata_says_what_pyproject_says(built: Built) -> None:
    """Name, version, licence, addresses, classifiers, requirements and extras."""
    said = built.metadata
    assert (said["Name"], said["Version"]) == ("vgg-zoo", vgg_zoo.__version__)
    assert (said["License-Expression"], said["Requires-Python"]) == ("Apache-2.0", project()["requires-python"])
    assert said.get_all("Classifier") == sorted(project()["classifiers"])
    assert {line.partition(", ")[2] for line in said.get_all("Project-URL", [])} == set(project()["urls"].values())
    assert set(said.get_all("Provides-Extra", [])) == set(extras())
    needed = {line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert {re.split("[<>=]", line)[0] for line in needed} == {
        re.split("[<>=]", d)[0] for d in project()["dependencies"]
    }


def test_the_readme_is_a_page_on_an_index(built: Built) -> None:
    """It renders; what lies beside the README is neither shown nor linked there, but named."""
    text = built.metadata.get_payload()
    assert isinstance(text, str)
    page = readme_renderer.markdown.render(text)
    assert page is not None
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(addresses) >= 2
    assert [address for address in addresses if not address.startswith(("https://", "#"))] == []
    assert page.count("<table>") == README.count("\n|---|")
    assert "docs/weights.md" in page
    assert "](docs" not in text


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(built: Built, tmp_path: Path) -> None:
    """Its command, its nets, and what it says of an extra that is missing."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "site"]
    subprocess.run([*pip, str(built.wheel)], cwd=tmp_path, check=True)
    code = (
        "import importlib.metadata as metadata, sys\n"
        "import vgg_zoo, vgg_zoo.extras\n"
        "print(vgg_zoo.__file__)\n"
        "print(vgg_zoo.extras.install('convert'))\n"
        "(command,) = metadata.distribution('vgg-zoo').entry_points\n"
        "sys.argv = ['vgg-zoo', 'list']\n"
        "sys.exit(command.load()())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file, install, *rows = done.stdout.splitlines()
    assert file == str(tmp_path / "site" / "vgg_zoo" / "__init__.py")
    assert install == "pip install 'vgg-zoo[convert]'"
    assert any("vgg_d.oxford_in1k" in row for row in rows)


@pytest.mark.parametrize(
    ("checkout", "inside", "expected"),
    [
        (True, True, "pip install -e '.[plots,sklearn]'"),
        (True, False, "pip install -e '{root}[plots,sklearn]'"),
        (False, False, "pip install 'vgg-zoo[plots,sklearn]'"),
    ],
)
def test_extras_are_installed_where_the_package_is(
    checkout: bool, inside: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout installs itself, from any folder; without one pip knows the package by its name."""
    if checkout:
        (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(extras_of_package, "_ROOT", tmp_path)
    monkeypatch.chdir(tmp_path if inside else ROOT)
    assert extras_of_package.install("plots", "sklearn") == expected.format(root=tmp_path)


def test_the_readmes_table_is_the_zoos() -> None:
    """The same nets, layers, parameters, multiply-adds, weights and errors."""
    expected: dict[str, list[str]] = {}
    for row in zoo():
        about = [row["net"], str(row["layers"]), f"{row['parameters']:,}", f"{row['gmacs']:.3f}", "", ""]
        cells = expected.setdefault(row["net"], about)
        errors = f"{row['top1_error']:g} / {row['top5_error']:g}" if row["name"] else None
        cells[-2:] = (", ".join(filter(None, pair)) for pair in ((cells[-2], row["name"]), (cells[-1], errors)))
    written = [
        [cell.strip() for cell in line.replace("`", "").strip("| ").split("|")]
        for line in README.splitlines()
        if re.match(r"\| `vgg_\w+` \|", line)  # not a table of weights, whose names have a tag
    ]
    found = [[row[0], *row[2:5], row[5].replace("none published", ""), row[6].replace("–", "")] for row in written]
    assert found == list(expected.values())


def test_the_readme_is_short() -> None:
    """The pages have the rest."""
    assert len(README.splitlines()) <= 150


def test_the_readmes_tree_has_every_folder() -> None:
    """Of the repository, and no other."""
    (tree,) = re.findall(r"^```\n(vgg_zoo/.*?)^```", README, re.DOTALL | re.MULTILINE)
    shown = re.findall(r"^(\w+)/ |; (\w+)/ is", tree, re.MULTILINE)
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._"} - ignored
    assert sorted(first or second for first, second in shown) == sorted(folders)


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


@pytest.mark.slow
def test_pyright_sees_types(tmp_path: Path) -> None:
    """As mypy does, no part of them unknown; basedpyright is Pyright on a Node of its own, and needs no network."""
    pytest.importorskip("basedpyright", reason="basedpyright is not installed: pip install -e '.[dev]'")
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    words = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    revealed = [each["message"] for each in found if each["severity"] == "information"]
    assert len(revealed) == USER.count("reveal_type")
    assert [text for text in revealed if text.endswith('is "Any"') or "Unknown" in text] == []
    assert "list[tuple[str, float]]" in revealed[1]
    errors = [(each["rule"], each["message"].splitlines()[0]) for each in found if each["severity"] == "error"]
    assert [rule for rule, _ in errors] == ["reportAttributeAccessIssue", "reportArgumentType"], done.stdout
    assert '"DenseEvaluatr" is not a known attribute' in errors[0][1]
    assert 'parameter "scales"' in errors[1][1]
