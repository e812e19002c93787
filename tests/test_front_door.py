"""What a newcomer meets first: versions and extras, torch.hub, citation and templates, CI and the release."""

import ast
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from packaging.requirements import Requirement

import vgg_zoo
from tests.helpers import BOX_NETS, NETS, SMALL
from tests.project import ROOT, extras, lowest, packages, project

INSTALL = (ROOT / "docs/install.md").read_text()
OLDEST = dict(
    line.split("==") for line in (ROOT / ".ci/oldest.txt").read_text().split("\n") if line and not line.startswith("#")
)
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
PAPER = "Very Deep Convolutional Networks for Large-Scale Image Recognition"


def table(head: str) -> list[list[str]]:
    """The rows of the table of docs/install.md that begins with this line, without marks of code."""
    lines = INSTALL.partition(f"\n{head}\n")[2].splitlines()
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in row.replace("`", "").strip("|").split("|")] for row in rows][1:]


def triggers(workflow: str) -> Any:
    """Its `on`, which YAML takes for a truth."""
    return WORKFLOWS[workflow][True]


def steps(workflow: str) -> list[tuple[str, dict[str, Any]]]:
    """Every step with the name of its job."""
    return [(name, step) for name, job in WORKFLOWS[workflow]["jobs"].items() for step in job.get("steps", [])]


def test_one_version_everywhere() -> None:
    """The package's, the citation's and a dated section of the changelog."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == vgg_zoo.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"\n## {vgg_zoo.__version__} — {cited['date-released']}\n" in changelog


def test_the_changelog_keeps_to_its_groups() -> None:
    """Those of Keep a Changelog, each once a version, in its order."""
    groups = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    versions = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]
    assert versions
    for version in versions:
        found = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert found == [group for group in groups if group in found]
        assert found


def test_every_lower_bound_is_tested() -> None:
    """CI's oldest versions are those of pyproject.toml, of the package and of all its extras."""
    needed = {each.name: lowest(each) for each in packages("all")}
    needed |= {re.split(">=", line)[0]: lowest(Requirement(line)) for line in project()["dependencies"]}
    assert needed == OLDEST


def test_the_versions_page_says_what_ci_tests() -> None:
    """Python's from ci.yml and pyproject.toml, packages' from .ci/oldest.txt, and the systems."""
    jobs = WORKFLOWS["ci.yml"]["jobs"]
    rows = {row[0]: row[1:] for row in table("| | oldest | newest |")}
    oldest, newest = jobs["all"]["strategy"]["matrix"]["include"]
    assert (oldest["constraints"], newest["constraints"]) == (".ci/oldest.txt", "")
    pythons = [oldest["python"], newest["python"]]
    assert rows.pop("Python") == pythons == jobs["elsewhere"]["strategy"]["matrix"]["python"]
    assert project()["requires-python"] == f">={pythons[0]}"
    prefix = "Programming Language :: Python :: 3."
    minor = [int(line.removeprefix(prefix)) for line in project()["classifiers"] if line.startswith(prefix)]
    assert [f"3.{number}" for number in (minor[0], minor[-1])] == pythons
    assert minor == list(range(minor[0], minor[-1] + 1))
    dependencies = [Requirement(line).name for line in project()["dependencies"]]
    assert rows == {name: [OLDEST[name], "pip's"] for name in dependencies}
    systems = [jobs["all"]["runs-on"], *jobs["elsewhere"]["strategy"]["matrix"]["system"]]
    assert [row[0] for row in table("| system | CI tests | what is known |")] == systems


def test_the_extras_page_lists_them_all() -> None:
    """With the packages that each one brings."""
    rows = {row[0]: row[2] for row in table("| extra | gives | packages |")}
    assert set(rows) == set(extras()) - {"recipes"}
    for name, said in rows.items():
        if name in set(extras()) - {"all", "dev"}:
            named = {word for part in re.split(", | and ", said) for word in packages_of(part)}
            assert named == {each.name for each in packages(name)}, name
    assert {each.name for each in packages("recipes")} == {each.name for each in packages("train")}
    assert {each.name for each in packages("all")} == {
        each.name for name in set(extras()) - {"all", "benchmarks", "dev", "docs"} for each in packages(name)
    }


def packages_of(words: str) -> set[str]:
    """ "those of plots" is an extra's packages, any other word a package."""
    name = words.removeprefix("those of ").strip()
    return {each.name for each in packages(name)} if name in extras() else {name}


def test_every_extra_that_is_named_exists() -> None:
    """In the documentation, in messages, and where the code asks for one."""
    files = [ROOT / "README.md", ROOT / "Makefile", ROOT / ".ci/install.sh", *ROOT.glob("docs/**/*.md")]
    files += [path for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts]
    found = set()
    for file in files:
        text = file.read_text()
        for names in re.findall(r"(?:vgg-zoo|-e ['\"]?\.)\[([\w,]+)\]", text):
            found |= set(names.split(","))
        found |= set(re.findall(r"[ {]install\(['\"](\w+)['\"]\)", text))
    assert found <= set(extras())
    assert {"convert", "hub", "plots", "sklearn", "space", "train"} <= found


def test_torch_hub_lists_every_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else; each with its docstring. Both want a repository's address, and get the checkout's folder."""
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *_, **__: str(ROOT))
    assert set(torch.hub.list("here")) == {*NETS, *BOX_NETS}
    for net in (*NETS, *BOX_NETS):
        said = str(torch.hub.help("here", net))
        assert said.startswith(str(timm.model_entrypoint(net).__doc__))
        assert "pretrained_cfg=" in said


@pytest.mark.parametrize("net", [*NETS, *BOX_NETS])
def test_torch_hub_loads_every_net(net: str) -> None:
    """The one that timm makes, with timm's arguments."""
    torch.manual_seed(0)
    ours = torch.hub.load(str(ROOT), net, source="local", pretrained=False, **SMALL)
    torch.manual_seed(0)
    theirs = timm.create_model(net, pretrained=False, **SMALL)
    assert type(ours) is type(theirs)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    full = torch.hub.load(str(ROOT), net, source="local", pretrained=False, device="meta")
    assert full.configuration == timm.create_model(net, device="meta").configuration


def test_torch_hub_refuses_what_is_not_there() -> None:
    """A net, and weights that nobody published."""
    with pytest.raises(RuntimeError, match="Cannot find callable vgg_f in hubconf"):
        torch.hub.load(str(ROOT), "vgg_f", source="local")
    with pytest.raises(ValueError, match="unknown pretrained tag 'mine' for vgg_d; it has tv_in1k, oxford_in1k"):
        torch.hub.load(str(ROOT), "vgg_d", source="local", pretrained=True, pretrained_cfg="mine")


def test_torch_hub_asks_for_what_the_package_imports() -> None:
    """At the top of its files, and nothing more."""
    imported = set()
    for file in (ROOT / "vgg_zoo").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    (asked,) = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "hubconf.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "dependencies"
    ]
    assert set(asked) == imported - sys.stdlib_module_names - {"vgg_zoo", "vgg_zoo_cli"}


def test_the_citation_is_of_the_paper_and_the_software() -> None:
    """Title, authors, year and address; the README's entry is of the same paper."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["type"], cited["license"]) == ("1.2.0", "software", project()["license"])
    assert cited["keywords"] == project()["keywords"]
    assert project()["description"] in cited["abstract"]
    paper = cited["preferred-citation"]
    assert (paper["type"], paper["title"], paper["year"]) == ("conference-paper", PAPER, 2015)
    names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    assert names == ["Karen Simonyan", "Andrew Zisserman"]
    assert paper["url"] == project()["urls"]["Paper"] == "https://arxiv.org/abs/1409.1556"
    readme = (ROOT / "README.md").read_text()
    for part in (f"title     = {{{PAPER}}}", " and ".join(names), paper["url"], f"year      = {{{paper['year']}}}"):
        assert part in readme


def test_no_address_is_made_up() -> None:
    """Nobody reads mail for this project: what is private goes through the repository's page."""
    files = [*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "pyproject.toml", *ROOT.glob(".github/**/*.*")]
    assert len(files) > 8
    for file in files:
        assert re.findall(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", file.read_text()) == [], file
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        assert "under *Security*, *Report a vulnerability*" in " ".join((ROOT / name).read_text().split())


def test_the_issue_forms_are_forms() -> None:
    """By the schema that GitHub documents: every field has a name of its own and a label."""
    forms = [yaml.safe_load(path.read_text()) for path in TEMPLATES if path.stem != "config"]
    assert len(forms) == 2
    for form in forms:
        assert set(form) == {"name", "description", "labels", "body"}
        identifiers = [field["id"] for field in form["body"]]
        assert len(set(identifiers)) == len(identifiers) > 0
        for field in form["body"]:
            assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
            assert field["attributes"]["label"]
            assert set(field) <= {"id", "type", "attributes", "validations"}
            assert set(field.get("validations", {})) <= {"required"}
    assert yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text()) == {"blank_issues_enabled": False}
    request = (ROOT / ".github/pull_request_template.md").read_text()
    assert all(word in request for word in ("`make check`", "`make test`", "CHANGELOG.md"))


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_workflows_are_whole(workflow: str) -> None:
    """Jobs end, wait for jobs that exist, may do no more than they must, call known targets, and pin their actions."""
    content = WORKFLOWS[workflow]
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert "uses" in job or (job["runs-on"] and job["timeout-minutes"] <= 60)
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(content["jobs"])
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for _, step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert set(re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.MULTILINE)) <= targets | {"docs"}
    text = (ROOT / ".github/workflows" / workflow).read_text()
    assert "secrets." not in text
    used = re.findall(r"uses: ([^.].*)", text)
    assert len(used) == len([step for _, step in steps(workflow) if "uses" in step])
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_what_is_tested_elsewhere_exists() -> None:
    """Folders of tests, and among them none of recipes/ or hub/, which are for Linux."""
    include = WORKFLOWS["ci.yml"]["jobs"]["elsewhere"]["strategy"]["matrix"]["include"]
    folders = {folder for each in include for folder in each["tests"].split()}
    assert folders == {"tests/vgg_zoo", "tests/vgg_zoo_cli", "tests/command_line"}
    assert all((ROOT / folder).is_dir() for folder in folders)


@pytest.mark.skipif(os.name == "nt", reason="no sh")
def test_a_fork_is_no_reason_to_fail_elsewhere(tmp_path: Path) -> None:
    """On a system that is no Linux a test that needs one is skipped, and says why."""
    code = "import sys; sys.platform = 'darwin'; from tests.forked import server; server(())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("Skipped: it forks processes"), done.stderr


def test_a_release_is_tested_before_it_is_published() -> None:
    """By a tag alone; by all of CI, the build and the documentation; without a token that could be stolen."""
    release = WORKFLOWS["release.yml"]
    assert triggers("release.yml") == {"push": {"tags": ["v*"]}}
    assert "workflow_call" in triggers("ci.yml")
    assert release["jobs"]["tests"] == {"uses": "./.github/workflows/ci.yml"}
    rights = {name: job["permissions"] for name, job in release["jobs"].items() if "permissions" in job}
    assert rights == {"publish": {"id-token": "write"}, "pages": {"id-token": "write", "pages": "write"}}
    publish = release["jobs"]["publish"]
    assert set(publish["needs"]) == {"tests", "build", "docs"}
    assert publish["environment"] == "pypi"
    assert publish["steps"][-1].keys() == {"uses"}
    assert publish["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert release["jobs"]["pages"]["needs"] == "publish"
    commands = [step.get("run", "") for job, step in steps("release.yml") if job == "build"]
    assert commands.index("python -m build") < commands.index("python -m twine check --strict dist/*")


@pytest.mark.skipif(os.name == "nt", reason="no sh")
@pytest.mark.parametrize(("tag", "code"), [("v0.2.0", 0), ("v0.2.1", 1), ("v0.2", 1), ("v0.2.0rc1", 1)])
def test_a_tag_of_another_version_is_refused(tag: str, code: int, tmp_path: Path) -> None:
    """By the step of the release that compares it with what was built."""
    (check,) = [step["run"] for _, step in steps("release.yml") if step.get("name") == "The tag is the version"]
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "vgg_zoo-0.2.0.tar.gz").touch()
    environment = {**os.environ, "GITHUB_REF_NAME": tag}
    command = ["sh", "-e", "-c", check]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout == ("" if code == 0 else f"tag {tag}, but built: dist/vgg_zoo-0.2.0.tar.gz\n")
