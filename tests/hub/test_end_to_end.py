"""The whole way: train, test, build, check, plan, publish, verify, lock, and use what was published as strangers do."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image

from tests.forked import HEAVY, ROOT, run_forked
from tests.hub.commands import holds, make_hub, package_copy, python, run, succeed
from tests.hub.local_hub import LocalHub, environment
from tests.hub.nets import make_results
from tests.recipes.commands import command, train_command
from tests.recipes.commands import succeed as recipe
from vgg_zoo import DenseEvaluator

REPOSITORY, NAME = "org/vgg_a.tiny", "vgg_a.tiny"
PROTOCOLS = ("dense", "multi_crop")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, Path]]:
    """A net that was trained, tested and published, each by its command, and the folder with all of it."""
    place = tmp_path_factory.mktemp("world")
    recipe(train_command(place / "run"))
    for protocol in PROTOCOLS:
        words = ["--model", place / "run", "--data", "digits", "--protocol", protocol, "--output", place / protocol]
        recipe(command("evaluate", *words))
    checkout, home, folder = package_copy(place / "checkout"), place / "home", place / "built"
    with make_hub(place / "hub") as hub:
        results = ["--results", *(place / protocol for protocol in PROTOCOLS)]
        about = ["--repo", REPOSITORY, *results, "--license", "apache-2.0", "--output", folder]
        succeed(hub, home, "build", place / "run", *about)
        succeed(hub, home, "check", folder)
        assert hub.requests == []
        assert "would be made" in succeed(hub, home, "plan", folder)
        assert "was published" in succeed(hub, home, "publish", folder)
        assert "the posteriors are the folder's" in succeed(hub, home, "verify", folder)
        assert f"timm.create_model('{NAME}') works" in succeed(hub, home, "lock", folder, cwd=checkout)
        yield hub, place


def test_it_is_there_in_one_commit_and_a_second_publication_makes_none(world: tuple[LocalHub, Path]) -> None:
    """The Hub's own first commit, and ours."""
    hub, place = world
    commits = [commit.title for commit in hub.commits(REPOSITORY)]
    assert "is up to date" in succeed(hub, place / "home", "publish", place / "built")
    assert [commit.title for commit in hub.commits(REPOSITORY)] == commits == ["vgg_a.tiny v1", "initial commit"]
    assert holds(hub, place / "built", REPOSITORY)


def test_timm_loads_it_and_its_evaluation_gives_the_cards_figures_again(world: tuple[LocalHub, Path]) -> None:
    """By its name, from a fresh cache, with the settings that were published; every count and rate is the card's."""
    hub, place = world
    given = environment(hub, place / "fresh")
    rows = json.loads((place / "built/eval_results.json").read_text())
    for protocol in PROTOCOLS:
        (row,) = [row for row in rows if row["protocol"] == protocol and len(row["scales"]) > 1]
        words = ["--model", NAME, "--data", "digits", "--protocol", protocol, "--scales", *map(str, row["scales"])]
        words += ["--flip" if row["flip"] else "--no-flip", "--output", str(place / f"again_{protocol}")]
        line = ["recipes/evaluate.py", *words]
        done = run_forked(line, preload=HEAVY, cwd=place / "checkout", environment=given)
        assert done.returncode == 0, done.stderr
        again = json.loads((place / f"again_{protocol}/results.json").read_text())
        found = again["results"]
        assert (found["top1"], found["top5"], found["images"]) == (row["top1_error"], row["top5_error"], row["images"])
        assert again["nets"][0]["weights_sha256"] == row["weights_sha256"]
        assert f"| {100 * found['top1']:.2f} | {100 * found['top5']:.2f} |" in (place / "built/README.md").read_text()


def test_the_cards_snippets_run(world: tuple[LocalHub, Path], tmp_path: Path) -> None:
    """Each in a process and with a cache of its own, as somebody who copies it."""
    hub, place = world
    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "photo.jpg")
    card = (place / "built/README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(snippets) == 5
    for number, snippet in enumerate(snippets):
        home = tmp_path / f"home{number}"
        done = python(hub, home, snippet, cwd=tmp_path, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, f"{snippet}\n{done.stderr}"
        assert done.stdout.strip()


def test_no_pickle_is_ever_written(world: tuple[LocalHub, Path]) -> None:
    """Neither by the commands, nor on the Hub, nor in a cache."""
    hub, place = world
    names = [path for path in place.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle", ".pt2")]
    assert names == []
    assert not [name for name in hub.files(REPOSITORY) if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    for path in (place / "built").rglob("*"):
        assert not (path.is_file() and path.suffix != ".safetensors" and path.read_bytes().startswith(b"\x80"))


def test_a_mistake_ends_in_one_line(world: tuple[LocalHub, Path]) -> None:
    """An unknown command, a folder that is none, one that was altered after its build."""
    hub, place = world
    altered = Path(shutil.copytree(place / "built", place / "altered"))
    (altered / "config.json").write_text("{}")
    for words, message in (
        (["publsih", altered], "unknown command 'publsih' (did you mean publish?); choose from build, check, plan"),
        (["publish", place / "nowhere"], "there is no folder"),
        (["publish", altered], "are not those that SHA256SUMS names; build the folder again"),
    ):
        done = run(hub, place / "home", *words)
        assert done.returncode != 0
        assert message in done.stderr
        assert "Traceback" not in done.stderr


FULL = """
import sys, json, torch
from safetensors.torch import load_file, save_file
images = load_file(sys.argv[1])["images"]
{load}
with torch.inference_mode():
    save_file({{"logits": {answer}}}, sys.argv[2])
print("vgg_zoo" in sys.modules)
"""

LOADERS: dict[str, tuple[str, str, bool]] = {
    "timm": (
        'import timm; net = timm.create_model("hf-hub:org/vgg_a.full@v1", pretrained=True).eval()',
        "net(images)",
        False,
    ),
    "transformers": (
        "from transformers import AutoModelForImageClassification as Auto; "
        'net = Auto.from_pretrained("org/vgg_a.full", revision="v1").eval()',
        "net(pixel_values=images).logits",
        False,
    ),
    "vgg_zoo": (
        'import timm, vgg_zoo; net = timm.create_model("vgg_a.full", pretrained=True).eval()',
        "net(images)",
        True,
    ),
}


def test_a_net_of_full_size_loads_with_and_without_this_package(tmp_path: Path) -> None:
    """timm and transformers' TimmWrapper know nothing of us and give the logits of `vgg_a.full`."""
    torch.manual_seed(0)
    net: Any = timm.create_model("vgg_a", num_classes=7).eval()
    net.pretrained_cfg["label_names"] = [f"class {number}" for number in range(7)]
    DenseEvaluator(net, scales=(224, 256)).save_pretrained(tmp_path / "run")
    about = {"configuration": "A", "architecture": "vgg_a", "scales": [224, 256], "classes": 7}
    results = make_results(tmp_path / "results", tmp_path / "run", **about)
    images = torch.randn(2, 3, 224, 256)
    with torch.inference_mode():
        expected = net(images)
    save_file({"images": images}, tmp_path / "images")
    checkout, home = package_copy(tmp_path / "checkout"), tmp_path / "home"
    with make_hub(tmp_path / "hub") as hub:
        words = ["--repo", "org/vgg_a.full", "--results", results, "--license", "mit", "--output", tmp_path / "built"]
        succeed(hub, home, "build", tmp_path / "run", *words, "--description", "a random net")
        shutil.rmtree(tmp_path / "run")
        succeed(hub, home, "publish", tmp_path / "built", "--lock", cwd=checkout)
        for who, (load, answer, knows_us) in LOADERS.items():
            code = FULL.format(load=load, answer=answer)
            done = python(hub, tmp_path / who, code, tmp_path / "images", tmp_path / f"{who}.logits", cwd=checkout)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == str(knows_us)
            logits = load_file(tmp_path / f"{who}.logits")["logits"]
            assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
            shutil.rmtree(tmp_path / who)
    shutil.rmtree(tmp_path)  # gigabytes that pytest would keep
