"""`check`: may this folder be published? Anything wrong is an error; nothing is sent or written."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import timm
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import Tensor

from hub.card import card_of
from hub.repository.address import Address
from hub.repository.dense_onnx import INPUT, expected_outputs
from hub.repository.files import (
    CARD,
    CONFIG,
    EVALUATION,
    ONNX,
    OPTIONAL,
    REQUIRED,
    SUMS,
    WEIGHTS,
    address_of,
    files_of,
    read_json,
    sums_of,
)
from hub.repository.names import LICENCES
from hub.repository.net import SOURCES, TIMM_NAMES, load_net, net_of_config, zoo_name
from hub.results.kind import Kind
from hub.results.rows import KINDS, check_rows, kind_of
from vgg_zoo.dense import score_maps
from vgg_zoo.layers import smallest_side
from vgg_zoo.model import VGG
from vgg_zoo.pretrained import pretrained_net
from vgg_zoo.weights.files import file_digest

TOLERANCE = 1e-4
"""Allowed difference of logits, relative to the largest: it comes from another order of additions."""

_MOST_PIXELS = 2**20  # pixels that go through the net at once

_SIZES = ((1, 0, 0), (2, 0, 32), (1, 65, 33), (3, 31, 0), (1, 96, 160))
"""Numbers of images and extra pixels per side: one cell of the map, odd sizes, both orientations, several images."""

_PICKLES = (b"\x80", b"PK\x03\x04")


def check(folder: Path) -> Address:
    """Check whether a built folder may be published.

    The files, their hashes and kinds; the licence; the tensors of the weights against ours and, where the config names
    a net of timm's, against timm's; the results' hashes and the card's figures; the logits of the net as plain timm, as
    this package and as ONNX Runtime load it.

    Returns:
        Its address.

    Raises:
        ValueError: Something is wrong; the message names the first problem and what to do.
    """
    _check_files(folder)
    address = address_of(folder)
    config = read_json(folder / CONFIG)
    try:
        _check_config(folder, config, address)
        kind = kind_of(address.net)
        _check_settings_file(folder, kind)
        _check_figures(folder, kind)
        net = load_net(folder)
    except (KeyError, TypeError, AttributeError) as error:  # the hashes are right, but the content is not ours
        raise ValueError(f"the files of {folder} are not what `python -m hub build` writes ({error!r})") from error
    _check_loading(folder, config, address, net)
    _check_onnx(folder, net, kind.read_settings(folder / kind.settings_file)["ceil_mode"])
    return address


def _check_files(folder: Path) -> None:
    names = set(files_of(folder))
    if missing := [name for name in REQUIRED if name not in names]:
        raise ValueError(f"{folder} has no {', '.join(missing)}; `python -m hub build` writes them")
    if foreign := sorted(names - {*REQUIRED, *OPTIONAL, *(kind.settings_file for kind in KINDS)}):
        raise ValueError(f"{folder} holds {', '.join(foreign)}, which no published net has; remove these files")
    for name in names:
        with (folder / name).open("rb") as file:
            start = file.read(9)
        # A safetensors file begins with its header's length, which may look like anything, and then has the header.
        if not start.endswith(b"{") if name == WEIGHTS else start.startswith(_PICKLES):
            raise ValueError(f"{folder / name} is not what its name says: a pickle, an archive or the like")
    if (folder / SUMS).read_text() != sums_of(folder):
        raise ValueError(f"the files of {folder} are not those that {SUMS} names; build the folder again")


def _check_settings_file(folder: Path, kind: Kind) -> None:
    found = {other.settings_file for other in KINDS if (folder / other.settings_file).is_file()}
    if found != {kind.settings_file}:
        raise ValueError(
            f"{folder} has {', '.join(sorted(found)) or 'no settings file'}, and must have {kind.settings_file}; "
            "`python -m hub build` writes it"
        )


def _check_config(folder: Path, config: dict[str, Any], address: Address) -> None:
    cfg = config["pretrained_cfg"]
    if cfg.get("license") not in LICENCES:
        raise ValueError(
            f"{folder / CONFIG}: the licence must be one of {', '.join(LICENCES)}; got {cfg.get('license')!r}"
        )
    if (zoo_name(config["architecture"]), cfg.get("tag")) != (address.net, address.tag):
        raise ValueError(
            f"{folder / CONFIG} is of {config['architecture']}.{cfg.get('tag')}, and its repository is {address}"
        )
    if "num_classes" in config.get("model_args", {}):
        raise ValueError(f"{folder / CONFIG}: num_classes stands in model_args, which transformers fails on")
    if placed := [place for place in SOURCES if cfg.get(place) and place != "hf_hub_id"]:
        raise ValueError(f"{folder / CONFIG}: pretrained_cfg names another source of weights: {', '.join(placed)}")
    if (names := config.get("label_names")) and len(names) != config["num_classes"]:
        raise ValueError(f"{folder / CONFIG} has {len(names)} label_names for {config['num_classes']} classes")


def _check_figures(folder: Path, kind: Kind) -> None:
    """Check that every result is of these weights, and that the card matches the results and can be read by the Hub."""
    rows, net = read_json(folder / EVALUATION), net_of_config(read_json(folder / CONFIG), device="meta")
    check_rows(kind, rows, file_digest(folder / WEIGHTS), net, folder / EVALUATION)
    text = (folder / CARD).read_text()
    if text != card_of(folder):
        raise ValueError(f"{folder / CARD} is not what the files beside it say; build the folder again")
    if not ModelCard(text).data.to_dict().get("model-index"):
        raise ValueError(f"{folder / CARD} has no model-index that the Hub reads")


def _check_loading(folder: Path, config: dict[str, Any], address: Address, net: VGG) -> None:
    side = smallest_side(net)
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    images = (_pixels(2, side, side) / 255 - mean) / std
    with torch.inference_mode():
        expected = net(images)
        named = pretrained_net(folder)
        ours = timm.create_model(
            address.net,
            pretrained=True,
            pretrained_cfg=net.pretrained_cfg,  # and no row of the package's table
            pretrained_cfg_overlay={"file": str(folder / WEIGHTS)},
            **config.get("model_args", {}),
        ).eval()
        for what, logits in (("local-dir:", named(images)), (address.net, ours(images))):
            _compare(f"loaded as {what}", logits, expected)
    if config["architecture"] in TIMM_NAMES.values():
        _compare("loaded by timm without vgg_zoo", _in_plain_timm(folder, images), expected)


_PLAIN = """
import sys
import timm, torch
from safetensors.torch import load_file, save_file
model = timm.create_model(f"local-dir:{sys.argv[1]}", pretrained=True).eval()
assert "vgg_zoo" not in sys.modules
with torch.inference_mode():
    save_file({"logits": model(load_file(sys.argv[2])["images"])}, sys.argv[3])
"""


def _in_plain_timm(folder: Path, images: Tensor) -> Tensor:
    """The logits from a process without this package."""
    with TemporaryDirectory() as place:
        given, found = Path(place) / "images", Path(place) / "logits"
        save_file({"images": images}, given)
        command = [sys.executable, "-c", _PLAIN, str(folder.resolve()), str(given), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise ValueError(f"plain timm cannot load {folder}: {said}")
        return load_file(found)["logits"].clone()


@torch.inference_mode()
def _check_onnx(folder: Path, net: VGG, ceil_mode: bool) -> None:
    """Compare the ONNX file with the net in PyTorch, at five sizes and several batches."""
    import onnxruntime  # only needed here, and slow to import

    session = onnxruntime.InferenceSession(str(folder / ONNX), providers=["CPUExecutionProvider"])
    side = smallest_side(net)
    for batch, taller, wider in _SIZES:
        height, width = side + taller, side + wider
        pixels = _pixels(batch, height, width)
        expected = expected_outputs(net, score_maps(net, pixels, ceil_mode, _MOST_PIXELS, exact=True))
        if (names := {output.name for output in session.get_outputs()}) != set(expected):
            raise ValueError(f"{folder / ONNX} gives {', '.join(sorted(names))}, and must give {', '.join(expected)}")
        found = session.run(list(expected), {INPUT: pixels.float().numpy()})
        for name, values in zip(expected, found, strict=True):
            _compare(f"{ONNX} at {batch} × {height} × {width}, {name},", torch.from_numpy(values), expected[name])


def _pixels(batch: int, height: int, width: int) -> Tensor:
    generator = np.random.Generator(np.random.PCG64(height * width))
    return torch.from_numpy(generator.integers(0, 256, (batch, 3, height, width), dtype=np.uint8))


def _compare(what: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise ValueError(f"the net {what} gives {tuple(found.shape)}, and must give {tuple(expected.shape)}")
    difference = (found - expected).abs().max().item() / max(expected.abs().max().item(), 1e-30)
    if not difference <= TOLERANCE:
        raise ValueError(f"the net {what} differs by {difference:.1e} of the largest value; {TOLERANCE:.0e} is allowed")
