"""`check` finds every damage, also where SHA256SUMS was made again after it."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub.check import check
from hub.repository.dense_onnx import write_dense_onnx
from hub.repository.files import sums_of
from hub.repository.net import load_net
from tests.helpers import NETS, small
from tests.hub.nets import REPOSITORY, make_built


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that may be published."""
    return make_built(tmp_path_factory.mktemp("check"))


def test_a_built_folder_passes(original: Path) -> None:
    """It belongs where it was built for."""
    assert str(check(original)) == f"{REPOSITORY}@v1"


@pytest.mark.parametrize("name", [*NETS, "vgg_a_lrn_box", "vgg_d_box"])
def test_every_net_of_the_paper_can_be_published(name: str, tmp_path: Path) -> None:
    """C, A-LRN, the shallow net and nets of boxes too, whose config names ours; also as ONNX Runtime computes them."""
    folder = make_built(tmp_path, address=f"org/{name}.made")
    assert check(folder).net == name
    assert json.loads((folder / "config.json").read_text())["architecture"] == name


def in_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """A change of a JSON file."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")

    return damage


def in_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """A change of the tensors."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def _half(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.fc.bias"] = tensors["head.fc.bias"].half()


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.fc.bias"][1] = torch.nan


def _onnx_of_nan(folder: Path) -> None:
    net: Any = load_net(folder)
    with torch.no_grad():
        net.head.fc.bias[1] = torch.nan
    write_dense_onnx(net, folder / "onnx" / "dense.onnx")


def _flatter_card(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text().replace("| 25.00 |", "| 20.00 |"))


def _of_these_weights(folder: Path) -> None:
    """Results that claim to be of the weights as they are now, and the card that follows from them."""
    from hub.card import card_of
    from vgg_zoo.weights.files import file_digest

    in_json(
        "eval_results.json",
        lambda rows: [row.update(weights_sha256=file_digest(folder / "model.safetensors")) for row in rows],
    )(folder)
    (folder / "README.md").write_text(card_of(folder))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file is missing": (lambda folder: (folder / "dense_eval.json").unlink(), "must have dense_eval.json"),
    "a foreign file": (lambda folder: (folder / "notes.txt").write_text("hi"), "holds notes.txt"),
    "a pickle": (lambda folder: (folder / "recipe.json").write_bytes(pickle.dumps({})), "not what its name says"),
    "a pickle as weights": (lambda folder: torch.save({}, folder / "model.safetensors"), "not what its name says"),
    "a link": (lambda folder: (folder / "recipe.json").symlink_to("/etc/hostname"), "is a symbolic link"),
    "a licence nobody knows": (
        in_json("config.json", lambda config: config["pretrained_cfg"].update(license="mine")),
        "licence must be one of",
    ),
    "another tag": (in_json("config.json", lambda config: config["pretrained_cfg"].update(tag="x")), r"is of vgg_d\.x"),
    "no repository": (
        in_json("config.json", lambda config: config["pretrained_cfg"].pop("hf_hub_id")),
        "names no repository",
    ),
    "another net": (in_json("config.json", lambda config: config.update(architecture="vgg_c")), r"is of vgg_c\.made"),
    "what breaks transformers": (
        in_json("config.json", lambda config: config["model_args"].update(num_classes=5)),
        "num_classes stands in model_args",
    ),
    "other settings": (
        in_json("dense_eval.json", lambda content: content.update(softmax_first=True)),
        "is not of the widest dense test",
    ),
    "a file for timm to load": (
        in_json("config.json", lambda config: config["model_args"].update(checkpoint_path="other.pth")),
        "model_args has checkpoint_path",
    ),
    "another source of weights": (
        in_json("config.json", lambda config: config["pretrained_cfg"].update(hf_hub_filename="other.bin")),
        "names another source of weights: hf_hub_filename",
    ),
    "names of other classes": (
        in_json("config.json", lambda config: config["label_names"].pop()),
        "has 9 label_names for 10 classes",
    ),
    "grey images": (
        in_json("config.json", lambda config: config["model_args"].update(in_chans=1)),
        "takes RGB images",
    ),
    "no licence": (
        in_json("config.json", lambda config: config["pretrained_cfg"].pop("license")),
        "licence must be one of",
    ),
    "not even classes": (in_json("config.json", lambda config: config.pop("num_classes")), "is not what|are not what"),
    "an impossible error": (
        in_json("eval_results.json", lambda rows: rows[0].update(top1_error=float("nan"))),
        "not from 0 to 1",
    ),
    "an error of half an image": (
        in_json("eval_results.json", lambda rows: rows[0].update(top1_error=0.2625)),
        "top1_error must be a multiple of 1/40",
    ),
    "top-5 worse than top-1": (
        in_json("eval_results.json", lambda rows: rows[0].update(top5_error=0.5)),
        "top5_error must not be greater than top1_error",
    ),
    "a flattered table": (_flatter_card, "is not what the files beside it say"),
    "flattered results": (
        in_json("eval_results.json", lambda rows: rows[0].update(top1_error=0.1)),
        "is not what the files beside it say",
    ),
    "results of other weights": (
        in_json("eval_results.json", lambda rows: rows[0].update(weights_sha256="0" * 64)),
        "results of other weights",
    ),
    "settings nobody knows": (in_json("dense_eval.json", lambda content: content.update(tta=1)), "exactly the keys"),
    "other weights": (in_weights(lambda tensors: tensors["head.fc.bias"].add_(1)), "results of other weights"),
    "an ONNX file of another net": (
        lambda folder: write_dense_onnx(small("vgg_d", num_classes=10), folder / "onnx" / "dense.onnx"),
        r"dense\.onnx at 1 × 64 × 64, class_score_map, differs",
    ),
    "an ONNX file that gives NaN": (
        _onnx_of_nan,
        r"dense\.onnx at 1 × 64 × 64, class_score_map, differs by nan",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_every_damage_is_found(original: Path, tmp_path: Path, what: str) -> None:
    """Even if the hashes are computed again."""
    damage, message = DAMAGES[what]
    folder = tmp_path / "folder"
    shutil.copytree(original, folder)
    damage(folder)
    if what != "a link":
        (folder / "SHA256SUMS").write_text(sums_of(folder))
    with pytest.raises(ValueError, match=message):
        check(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nan, "holds NaN or infinity"),
        (_half, r"is torch\.float16"),
        (lambda tensors: tensors.pop("head.fc.bias"), "missing"),
    ],
)
def test_tensors_that_are_not_the_nets_are_found(original: Path, tmp_path: Path, change: Any, message: str) -> None:
    """Where results and hashes were made to fit them."""
    folder = tmp_path / "folder"
    shutil.copytree(original, folder)
    in_weights(change)(folder)
    _of_these_weights(folder)
    (folder / "SHA256SUMS").write_text(sums_of(folder))
    with pytest.raises(ValueError, match=message):
        check(folder)


def test_a_flipped_bit_of_any_file_is_found(original: Path, tmp_path: Path) -> None:
    """By SHA256SUMS, which was not updated."""
    folder = tmp_path / "folder"
    shutil.copytree(original, folder)
    for name in ("onnx/dense.onnx", "eval_results.json", "README.md"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match="are not those that SHA256SUMS names"):
            check(folder)
        (folder / name).write_bytes(kept)
    check(folder)
