"""What docs/own_classes.md is run with: its commands, its photos, and nets to begin with."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import timm
import torch

from tests.forked import ROOT, run_forked
from tests.recipes.commands import ENVIRONMENT
from tests.vgg_zoo.weights.formats import caffe
from tests.vgg_zoo.weights.oxford_trunk import convolutions_of, fetched_model
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.weights.folder import save_folder
from vgg_zoo.weights.read import read_weights

PAGE = (ROOT / "docs/own_classes.md").read_text()
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if not line.startswith("NET=")
]
"""The words of each of the page's commands."""


def save_trunk(folder: Path, oxfords: bool, seed: int = 0) -> Path:
    """A folder of net D with Oxford's convolutions or random ones; the wheel has no FC layers: those are random.

    Raises:
        OSError: Oxford's convolutions cannot be downloaded.
    """
    torch.manual_seed(seed)
    net = timm.create_model("vgg_d", head_hidden_size=256, head_kernel_size=2, num_classes=1000)
    folder.mkdir()
    if oxfords:
        file = folder / "trunk.caffemodel"
        file.write_bytes(caffe(convolutions_of(fetched_model())))
        net.load_state_dict(read_weights(file)[0], strict=False)
        file.unlink()
    options: dict[str, Any] = {"tag": "x", "licence": None, "input_size": (3, 64, 64), "crop_pct": 1.0}
    save_folder(net, folder, mean=IMAGENET_MEAN, **options)
    return folder


def make_photos(folder: Path, seed: int = 0) -> None:
    """What the page's Python leaves in a folder; another seed cuts other crops out of the same photos."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "default_rng(0)" in code
    (folder / "photos.py").write_text(code.replace("default_rng(0)", f"default_rng({seed})"))
    typed(["python", "photos.py"], folder, folder)


def typed(words: list[str], cwd: Path, net: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, as it is typed in a folder beside this checkout; it must succeed."""
    given = {"$NET": str(net)}
    program, *rest = [given.get(word, word) for word in words]
    if program == "vgg-zoo":
        line = ["-m", "vgg_zoo", *rest]
    else:
        line = [str(ROOT / rest[0]), *rest[1:]] if rest[0].startswith("recipes/") else rest
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    done = run_forked(line, cwd=cwd, environment=environment)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done
