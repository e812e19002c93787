"""The shell commands of the pages are run, by bash, on small nets and images in place of the paper's.

A new command is run as it stands. If it needs more than this machine has, add what stands in for it to `STAND_INS`, or
put the command into `NOT_RUN` with the reason.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.forked import ROOT, launcher
from tests.helpers import serving, small
from tests.hub.nets import make_results, make_run
from tests.recipes.box_sets import WNIDS, ilsvrc
from tests.recipes.commands import ENVIRONMENT
from tests.recipes.data_sets import actions, caltech, voc
from tests.recipes.pasted import pasted_folder
from tests.test_docs import TODAYS, blocks
from tests.vgg_zoo.weights.formats import caffe, in_oxfords_layout
from tests.vgg_zoo.weights.test_read import weights
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.weights.folder import save_folder

NOT_RUN = {
    r"pip install .*": "needs the network; tests/test_docs.py knows the extras",
    r"make .*": "CI runs each of them (.ci/run, .github/workflows/ci.yml)",
    r"\.ci/run": "is CI itself",
    r"hf auth login": "asks for a token",
    r"python -m hub (plan|publish|verify|lock) .*": "asks the Hub; tests/hub/test_end_to_end.py has a local one",
    r"python hub/space/app\.py .*": "serves until it is stopped; tests/hub/space opens the page in a browser",
    r"bash docs/launch/prepare_node\.sh": "downloads ImageNet; tests/test_launch_files.py reads it",
}
"""Commands that are not run, and why."""

FEW_STEPS = "--set epochs=1 milestones=none"
SMALL_NET = "model_args.head_kernel_size=2 model_args.head_hidden_size=24"
SMALL_IMAGES = "crop_size=64 train_scales=64,96 test_scale=80"
STAND_INS = {
    r"accelerate launch [^\n]*?(?=recipes/)|torchrun [^\n]*?(?=recipes/)": "python ",  # one process on the CPU
    r"(?<= )vgg_([de])\.(oxford|tv)_in1k(?=\s)": r"nets/vgg_\1",
    r"^NET=\S+": "NET=nets/vgg_d",
    r"https://example\.org": "{server}",
    r"(--recipe vgg\w+)": rf"\1@small {FEW_STEPS} {SMALL_IMAGES} {SMALL_NET} fit_batch=true",
    r"(--recipe finetune_small)(?!.*--set)": rf"\1 --init-from nets/vgg_d {FEW_STEPS} {SMALL_IMAGES}",
    r"epochs=8 milestones=6": "epochs=1 milestones=none",
    r"--dry-run 20 --precision bf16": "--dry-run 2",  # not every CPU has bf16
    r"--workers \d+": "--workers 2",
    r"--launcher \"accelerate launch\"": f"--launcher python --small --nets a {FEW_STEPS}",
    r"(--recipes pasted_digits_a_scr --data) pasted_digits": rf"\1 pasted --label-column label {FEW_STEPS}",
    r"(localise.py .*--data) pasted_digits": r"\1 pasted --label-column label",
    r"(linear_svm.py --protocol [\w-]+)(?!.*--model)": r"\1 --model nets/vgg_d",
    r"(linear_svm.py --protocol [\w-]+)(?!.*--scales)": r"\1 --scales 64 --C 1",
    r"(vgg-zoo bench) ": r"\1 --seconds 5 ",
    r'eval "\$\((_VGG_ZOO_COMPLETE=zsh_source vgg-zoo)\)"': r"\1",  # zsh may not be here
    r"(_VGG_ZOO_COMPLETE=fish_source vgg-zoo) \| source": r"\1",
}
"""What stands for names of weights, data and recipes that take a network or hours; regular expressions."""


def lines(page: str) -> list[str]:
    """The page's commands, each on one line."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [re.sub(r"\s+#.*|^#.*", "", line).strip() for line in text.splitlines()]


def script(page: str, server: str = "") -> str:
    """What bash is given; empty if none of the page's commands is run."""
    found = [line for line in lines(page) if line and not any(re.fullmatch(one, line) for one in NOT_RUN)]
    for pattern, stand_in in STAND_INS.items():
        found = [re.sub(pattern, stand_in.replace("{server}", server), line + " ").strip() for line in found]
    return "\n".join(found)


PAGES = [page for page in TODAYS if script(page)]


def save_net(folder: Path, name: str, **changes: Any) -> None:
    """A small net with random weights that knows the classes of `ilsvrc`."""
    torch.manual_seed(len(folder.name))
    net = small(name, num_classes=len(WNIDS), **changes)
    oxfords = {"mean": tuple(value / 255 for value in IMAGENET_MEAN), "std": (1 / 255,) * 3}
    net.pretrained_cfg.update(oxfords, label_names=list(WNIDS))
    if name.endswith("_box"):
        about: dict[str, Any] = {"input_size": (3, 64, 64), "crop_pct": 1.0, "class_names": list(WNIDS)}
        save_folder(net, folder, tag="small", licence=None, mean=IMAGENET_MEAN, **about)
    else:
        DenseEvaluator(net, scales=(64, 96)).save_pretrained(folder)


def save_photos(folder: Path) -> None:
    """Those that the pages speak of, and two classes of one's own."""
    china, flower = (
        Image.fromarray(load_sample_image(f"{name}.jpg")).resize((120, 90)) for name in ("china", "flower")
    )
    for name in ("photo.jpg", "a.jpg", "photos/a.jpg", "photos/below/b.jpg", "more/c.png", "new_photos/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        china.save(folder / name)
    for split in ("photos/train", "photos/test", "path/to/photos", "path/to/images/train", "path/to/images/test"):
        for name, photo in (("cat", china), ("rocket", flower)):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(3):
                photo.crop((number, number, 96 + number, 80 + number)).save(folder / split / name / f"{number}.jpg")


def save_data(folder: Path) -> None:
    """The data sets of the paper, small."""
    ilsvrc(folder / "path/to/ILSVRC")
    (folder / "ILSVRC").mkdir()
    (folder / "ILSVRC/imagenet-1k").symlink_to(folder / "path/to/ILSVRC")
    (folder / "path/to/test").symlink_to(folder / "photos/below")
    (folder / "ilsvrc2012_ids.txt").write_text("\n".join(WNIDS))
    voc(folder / "VOCdevkit/VOC2007", 40, 40, 20)
    voc(folder / "VOCdevkit/VOC2012", 40, 40, 20, labelled_test=False)
    actions(folder / "VOCdevkit/VOC2012", labelled_test=False)
    caltech(folder / "caltech-101/101_ObjectCategories", {"BACKGROUND_Google": 31, "ant": 32})
    caltech(folder / "caltech-256/256_ObjectCategories", {"001.ak47": 61, "257.clutter": 61})
    pasted_folder(folder / "pasted", 40, 10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages take as given."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("recipes", "hub", "docs", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    save_photos(folder)
    save_data(folder)
    (folder / "nets").mkdir()
    (folder / "runs").mkdir()
    for name in ("nets/vgg_d", "runs/classes", "runs/digits", "runs/my_net", "runs/vgg_d_s256_512"):
        save_net(folder / name, "vgg_d")
    for name in ("nets/vgg_e", "runs/vgg_e_s256"):
        save_net(folder / name, "vgg_e")
    for name in ("one", "other", "vgg_d_s256_pcr", "vgg_d_s384_pcr"):
        save_net(folder / "runs" / name, "vgg_d_box", regression="pcr")
    run = make_run(folder / "runs/d", num_classes=10)
    make_results(folder / "runs/d_dense", run)
    make_results(folder / "runs/d_crops", run, protocol="multi_crop")
    (folder / "VGG_ILSVRC_16_layers.caffemodel").write_bytes(caffe(in_oxfords_layout(weights("vgg_d"), "vgg_d")))
    return folder


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[str]:
    """The address at which the photos are served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serving(partial(Quiet, directory=str(world))) as address:
        yield address


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `python` and `vgg-zoo`, which skip the import of the libraries."""
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("python", ""), ("vgg-zoo", "-m vgg_zoo")):
        (folder / name).write_text(f'#!/bin/sh\nexec {launcher()} {words} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run(page: str, world: Path, server: str, programs: Path, tmp_path: Path) -> None:
    """From the top of the page to its end, in one shell; the first command that fails ends it."""
    shutil.copytree(world, tmp_path / "world", symlinks=True)
    for written in re.findall(r"(?:train|evaluate)\.py .*--output (\S+)", script(page)):
        shutil.rmtree(tmp_path / "world" / written, ignore_errors=True)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script(page, server)],  # noqa: S607 (whose bash it is does not matter)
        cwd=tmp_path / "world",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_nothing_is_listed_in_vain() -> None:
    """Each reason and each stand-in belongs to a command of a page."""
    found = [line for page in TODAYS for line in lines(page)]
    assert [one for one in NOT_RUN if not any(re.fullmatch(one, line) for line in found)] == []
    assert [one for one in STAND_INS if not any(re.search(one, line + " ") for line in found)] == []
