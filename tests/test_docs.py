"""The pages: their links, commands and Python, the errors that they quote, and the site that is made of them."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
import pytest
import timm
import yaml
from PIL import Image

import hub.__main__
import vgg_zoo
from tests.forked import ROOT, run_forked
from tests.test_launch_files import script_of
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.results import KINDS, RESULTS, described
from vgg_zoo.weights.folder import save_folder
from vgg_zoo_cli.main import vgg_zoo as command_line
from vgg_zoo_cli.names import weights

PAGES = sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/*.md"))
TODAYS = ["README.md", "CONTRIBUTING.md", *PAGES]
EVERYWHERE = [*TODAYS, "CHANGELOG.md"]


def text_of(page: str) -> str:
    """As it is kept."""
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The page's code of a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)
    return found


def anchors(page: str) -> set[str]:
    """Of a page's headings, as GitHub names them."""
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERYWHERE)
def test_links_lead_somewhere(page: str) -> None:
    """Every file that a page links to is there, and has the heading."""
    links = re.findall(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)", re.sub(r"`[^`\n]*`", "", text_of(page)))
    for path, anchor in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), f"{path}#{anchor}"


def entries(nav: Any) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from entries(part)


def test_every_page_is_in_the_navigation() -> None:
    """Once, with the notebooks and the changelog."""
    notebooks = [f"notebooks/{path.stem}.md" for path in ROOT.glob("docs/notebooks/*.ipynb")]
    expected = [*(page.removeprefix("docs/") for page in PAGES), *notebooks, "CHANGELOG.md"]
    assert sorted(entries(yaml.safe_load(text_of("mkdocs.yml"))["nav"])) == sorted(expected)


def make_docs(*options: object) -> subprocess.CompletedProcess[str]:
    """What `make docs` runs, with further options."""
    (line,) = re.findall(r"^docs:.*\n.*\$\(bin\)/python (.*)$", text_of("Makefile"), re.MULTILINE)
    command = [sys.executable, *line.split(), *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    """Of a page, to a page or to a heading, and a page outside of the navigation, by the site's own settings."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# One\n[a](other.md) [b](#two) [c](../docs/third.md)")
    (tmp_path / "docs/lost.md").touch()
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "nav": ["index.md"],
        "plugins": [],
        "hooks": [],
        "site_dir": "site",
    }
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    done = make_docs("--config-file", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    assert "Aborted with 4 warnings in strict mode" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_site_is_made(tmp_path: Path) -> None:
    """Without a broken link, with nothing of another server, with the docstrings, the notebooks and the changelog."""
    done = make_docs("--site-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert len(pages) > len(PAGES)
    for page, html in pages.items():
        assert re.findall(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"', html) == [], page
    assert "smallest sides in pixels, or one" in pages["reference.html"]
    assert "Name of the net in timm" in pages["reference_recipes.html"]
    assert "so that the notebook needs no network" in pages["notebooks/predict_and_explain.html"]
    assert 'href="scaling.html"' in pages["CHANGELOG.html"]
    assert 'href="benchmarks/results/features.html"' in pages["python.html"]
    assert 'href="notebooks/predict_and_explain.html"' in pages["index.html"]


def test_the_reference_has_every_public_name() -> None:
    """And each name that it asks for is there."""
    named = re.findall(
        r"^::: ([\w.]+)", text_of("docs/reference.md") + text_of("docs/reference_recipes.md"), re.MULTILINE
    )
    assert all(resolve_name(name) is not None for name in named)
    assert {f"vgg_zoo.{name}" for name in {*vgg_zoo.__all__, "ImageDescriptor"} - {"__version__"}} <= set(named)


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a program, with … for what is put into them."""
    if path.suffix != ".py":
        yield re.sub(r"\$\{?\w+\}?", "…", path.read_text())
        return
    for node in ast.walk(ast.parse(path.read_text())):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        if all(isinstance(part, ast.FormattedValue) or _is_text(part) for part in parts):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_the_errors_that_are_explained_are_printed() -> None:
    """Each heading of docs/troubleshooting.md is a part of a text in the code."""
    programs = [ROOT / ".ci/install.sh"]
    for folder in ("vgg_zoo", "vgg_zoo_cli", "recipes", "hub", "command_line"):
        programs += (ROOT / folder).rglob("*.py")
    printed = "\n".join(re.sub("…+", "…", text) for path in programs for text in texts_of(path))
    quoted = re.findall(r"^### `(.*)`$", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(quoted) == text_of("docs/troubleshooting.md").count("\n### ") > 40
    assert [text for text in quoted if text not in printed] == []


# Commands


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command in a page's blocks; a variable that the page sets has its value."""
    variables: dict[str, str] = {}
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(
            re.sub(r"\$([A-Z_]+)", lambda found: variables.get(found[1], found[0]), line), comments=True
        )
        if len(words) == 1 and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            variables.update([words[0].split("=", 1)])
        elif words:
            yield words
    for line in re.findall(r"`((?:vgg-zoo|python recipes/\w+\.py) [^`\n]*--[^`\n]*)`", text_of(page)):
        if "..." not in line and "COMMAND" not in line:
            yield shlex.split(line)


def check(words: Sequence[str]) -> None:
    """The command is there and understands its options; it is not run."""
    assert [word for word in words if re.fullmatch(r"vgg\w*\.\w+", word) and word not in weights()] == []
    match words:
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE)
        case ["pip", "install", *options]:
            _, _, optional = text_of("pyproject.toml").partition("\n[project.optional-dependencies]\n")
            extras = set(re.findall(r"^([\w-]+) = \[", optional.partition("\n[")[0], re.MULTILINE))
            assert set(re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*)\]", options[-1])))) <= extras
        case ["vgg-zoo", name, *options] if not name.startswith("-"):
            command = command_line.get_command(click.Context(command_line), name)
            assert command is not None
            lay_out(words)
            command.make_context(name, list(options))
        case ["python", "-m", "hub", *options]:
            lay_out(words)
            hub.__main__.arguments(options)
        case ["python", "-m", module, *_]:
            assert find_spec(module) is not None
        case ["python", "hub/space/app.py", *options]:
            assert {word for word in options if word.startswith("--")} <= set(
                re.findall(r'add_argument\("(--[\w-]+)"', text_of("hub/space/app.py"))
            )
        case ["python" | "accelerate" | "torchrun", *_]:
            script, options = script_of(words)
            assert (ROOT / script).is_file()
            import_module(f"recipes.{Path(script).stem}").parse(options)
        case [("bash" | ".ci/run") as first, *rest]:
            assert (ROOT / (rest or [first])[0]).is_file()
        case _:
            assert shlex.join(words).strip("'") in SHELLS_OWN


SHELLS_OWN = (
    "hf auth login",
    "vgg-zoo --help",
    "eval '$(_VGG_ZOO_COMPLETE=bash_source vgg-zoo)",
    "eval '$(_VGG_ZOO_COMPLETE=zsh_source vgg-zoo)",
    "_VGG_ZOO_COMPLETE=fish_source vgg-zoo '|' source",
)


def lay_out(words: Sequence[str]) -> None:
    """Make the photos, nets and files that a command line names: `vgg-zoo` and hub look at them while they parse."""
    for before, word in pairwise(words):
        path = Path(word.replace("*", "a"))
        if word.startswith("runs/"):
            path.mkdir(parents=True, exist_ok=True)
            for name in ("config.json", "model.safetensors", "SHA256SUMS", RESULTS):
                (path / name).touch()
        elif word.endswith("/") and before != "--output":
            path.mkdir(parents=True, exist_ok=True)
            (path / "a.jpg").touch()
        elif path.suffix and not before.startswith("--") and "://" not in word:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.mark.parametrize("page", [page for page in TODAYS if [*commands(page)]])
def test_every_command_is_understood(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own parser: its options, and the names of recipes and weights."""
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        try:
            check(words)
        except (SystemExit, click.ClickException, AssertionError) as error:
            pytest.fail(f"{shlex.join(words)}: {error} {capsys.readouterr().err}")


# Python

ELSEWHERE = {
    "README.md": "tests/vgg_zoo/test_entrypoints.py",
    "docs/adding.md": "tests/test_adding.py",
    "docs/own_classes.md": "tests/test_own_classes.py",
    "docs/perceptual_loss.md": "tests/vgg_zoo/test_perceptual_loss.py",
    "docs/python.md": "tests/vgg_zoo/test_entrypoints.py",
    "docs/weights.md": "tests/vgg_zoo/test_entrypoints.py",
}
"""Pages whose Python is run by other tests."""

HERE = [page for page in TODAYS if page not in ELSEWHERE and blocks(page, "python")]

BEFORE = {
    "docs/evaluation.md": "paths = ['photo.jpg']",
    "docs/install.md": "import torch\n"  # whose weights are not here
    "torch.hub.load = lambda *names, load=torch.hub.load, **given: load(*names, **given | {'pretrained': False})",
    "docs/speed.md": "import timm, torch, vgg_zoo\n"
    "model, images = timm.create_model('vgg_d').eval(), torch.zeros(1, 3, 224, 224)",
}
"""What pages whose Python is run here leave to the reader."""

NARROW = {"width_multiplier": 0.1, "head_hidden_size": 8}
NARROW_NETS = f"""
import timm
made = timm.create_model

def narrow(name, pretrained=False, **arguments):
    if name.startswith("local-dir:"):
        return made(name, pretrained, **arguments)
    return made(name, **{NARROW!r}, **arguments)

timm.create_model = narrow
"""
"""A tenth of every net's width, with random weights in place of the published ones."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photo and the runs that pages speak of."""
    folder = tmp_path_factory.mktemp("world")
    Image.new("RGB", (400, 300), (90, 120, 30)).save(folder / "photo.jpg")
    for run in ("vgg_d_s256_pcr", "vgg_d_s384_pcr"):
        net = timm.create_model("vgg_d_box", regression="pcr", **NARROW)
        save_folder(
            net, folder / "runs" / run, tag="x", licence=None, mean=IMAGENET_MEAN, input_size=(3, 224, 224), crop_pct=1
        )
    (folder / "path/to/the").mkdir(parents=True)
    (folder / "path/to/the/checkout").symlink_to(ROOT)
    (folder / "runs/test_d").mkdir()
    content = dict.fromkeys(KINDS["classes"].fields) | {"results": {"top1": 0.25}}
    (folder / "runs/test_d" / RESULTS).write_text(json.dumps(described("classes", content)))
    return folder


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_python_is_run_elsewhere(page: str) -> None:
    """By a test that names the page, which has some."""
    assert blocks(page, "python")
    assert page in text_of(ELSEWHERE[page])


@pytest.mark.parametrize("page", HERE)
def test_the_python_runs(page: str, world: Path) -> None:
    """From the top of the page to its end, in one fresh interpreter."""
    code = [block for block in blocks(page, "python") if bf16_of_cpu() or '"bf16"' not in block]
    done = run_forked(["-c", "\n".join([BEFORE.get(page, ""), *code])], cwd=world, before=NARROW_NETS)
    assert done.returncode == 0, done.stderr
