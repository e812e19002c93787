"""Fine-tuning on small and odd sets of images, as users type it, and what may be wrong with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_data_config

from recipes import train
from tests.recipes.commands import check_written, command, refusal, run, succeed
from tests.recipes.data_sets import net_folder, texture
from vgg_zoo.weights import oxford
from vgg_zoo.weights.folder import CONFIG

SMALL = ("--set", "crop_size=32", "train_scales=32,40", "test_scale=32", "epochs=2", "milestones=none")

Make = Callable[..., Path]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A trained net of ten classes, whose crop is 32 pixels and whose images were divided by a deviation."""
    folder = net_folder(tmp_path / "net")
    config = json.loads((folder / CONFIG).read_text())
    config["pretrained_cfg"] |= {"mean": [0.5, 0.25, 0.75], "std": [0.25, 0.2, 0.125]}
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Make:
    """Makes a folder of so many images for each class."""

    def made(*counts: int) -> Path:
        generator = np.random.default_rng(0)
        for number, count in enumerate(counts):
            folder = tmp_path / "photos" / f"class{number:04}"
            folder.mkdir(parents=True)
            for place in range(count):
                Image.fromarray(texture(number, 48, generator)).save(folder / f"{place}.png")
        return tmp_path / "photos"

    return made


def finetune(net: Path, data: Path, output: Path, *options: Any, recipe: str = "finetune_small") -> Any:
    """The command."""
    return command("train", "--recipe", recipe, "--init-from", net, "--data", data, "--output", output, *options)


def test_a_small_set_of_odd_images_is_learned_from(net: Path, photos: Make, tmp_path: Path) -> None:
    """One image in a class, grey, palette, transparent, 16-bit and tiny ones: all are used, and the lines say how."""
    data = photos(3, 6, 1)
    first = data / "class0001"
    grey = Image.open(first / "0.png").convert("L")
    grey.save(first / "0.png")
    Image.open(first / "1.png").convert("P").save(first / "1.png")
    Image.open(first / "2.png").convert("RGBA").save(first / "2.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(first / "3.png")
    Image.open(first / "4.png").resize((5, 7)).save(first / "4.png")
    done = succeed(finetune(net, data, tmp_path / "run", *SMALL))
    for said in (
        "note: no validation split: 2 images of 10, a fifth and at least one of each class, are held out",
        "note: classes of one image are trained on and not tested: 'class0002'",
        f"begins with {net}: vgg_a, whose layers are copied except fc8, which is new, N(0, 0.01²), for 3 classes; all "
        "but fc8 is frozen",
        "images are RGB minus (127.5, 63.75, 191.25), divided by (63.75, 51, 31.875), as these weights were trained",
        "batches of 2 images, a quarter of the training set, in place of 16",
    ):
        assert said in done.stdout
    check_written(done.stdout, tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["steps"], results["data"]["unreadable_images"]) == (8, 0)
    assert results["settings"]["batch_size"] == 2
    assert results["settings"]["model_args"]["width_multiplier"] == 0.2
    assert not (tmp_path / "run" / "colours.json").exists()

    old, new = (load_file(folder / "model.safetensors") for folder in (net, tmp_path / "run"))
    assert all(torch.equal(old[key], new[key]) for key in old if not key.startswith("head."))
    assert new["head.fc.weight"].shape == (3, 128)

    again = succeed(finetune(net, data, tmp_path / "run", *SMALL)).stdout
    assert f"already done: {tmp_path / 'run'} is finished; --overwrite does it again" in again
    check_written(again, tmp_path / "run")
    other = run(finetune(net, shutil.copytree(data, tmp_path / "moved"), tmp_path / "run", *SMALL))
    assert f"is finished, and --data was {str(data)!r} there and is {str(tmp_path / 'moved')!r} now" in other.stderr
    assert other.returncode == 1
    other = run(finetune(net, data, tmp_path / "run", *SMALL, "--set", "flip=false"))
    assert "settings.flip is True there and False now" in other.stderr


def test_plain_timm_prepares_images_as_the_training_did(net: Path, photos: Make, tmp_path: Path) -> None:
    """The logits that the run wrote down, by timm's own transform with the new folder's config.json."""
    data = photos(6, 6)
    succeed(finetune(net, data, tmp_path / "run", *SMALL))
    model = timm.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True).eval()
    assert model.pretrained_cfg["std"] == pytest.approx((0.25, 0.2, 0.125))
    assert list(model.pretrained_cfg["label_names"]) == ["class0000", "class0001"]
    example = json.loads((tmp_path / "run" / "results.json").read_text())["example"]
    config = resolve_data_config(model=model)
    transform = create_transform(**config | {"crop_pct": example["crop_size"] / example["scale"]})
    logits = [
        model(transform(Image.open(file).convert("RGB"))[None]).detach()[0] for file in sorted(data.rglob("*.png"))
    ]
    nearest = min((logit - torch.tensor(example["logits"])).abs().max().item() for logit in logits)
    assert nearest < 0.05 * torch.tensor(example["logits"]).abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["finetune_d", "finetune_d_fc"])
def test_the_other_recipes_learn_more_layers_and_resume(recipe: str, net: Path, photos: Make, tmp_path: Path) -> None:
    """The trunk learns or is frozen, fc6 learns; a run that was interrupted ends bit-identical."""
    data = photos(8, 8)
    succeed(finetune(net, data, tmp_path / "whole", *SMALL, recipe=recipe))
    succeed(finetune(net, data, tmp_path / "halves", *SMALL, "--max-steps", 5, recipe=recipe))
    done = succeed(finetune(net, data, tmp_path / "halves", *SMALL, recipe=recipe))
    assert "resumes from step 5" in done.stdout
    old, whole, halves = (load_file(p / "model.safetensors") for p in (net, tmp_path / "whole", tmp_path / "halves"))
    assert all(torch.equal(whole[key], halves[key]) for key in whole)
    assert torch.equal(whole["features.0.weight"], old["features.0.weight"]) == (recipe == "finetune_d_fc")
    assert not torch.equal(whole["pre_logits.fc1.weight"], old["pre_logits.fc1.weight"])


@pytest.mark.slow
def test_a_thousand_classes_of_two_images(net: Path, photos: Make, tmp_path: Path) -> None:
    """One image of each is held out, one is learned from."""
    done = succeed(finetune(net, photos(*[2] * 1000), tmp_path / "run", *SMALL))
    assert "1,000 training and 1,000 validation images of 1,000 classes" in done.stdout


def test_what_cannot_be_right_is_one_line_and_leaves_nothing(
    net: Path, photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that do not fit, are not there, or belong to a recipe that keeps its last layer."""
    monkeypatch.setattr(oxford, "cache_folder", lambda: tmp_path / "cache")
    data, output = photos(3, 3), tmp_path / "run"
    words = ["--data", data, "--output", output, *SMALL]

    def said(*more: Any, recipe: str = "finetune_small") -> str:
        line = refusal(train.main, "--recipe", recipe, *more, *words)
        assert not output.exists()
        return line

    assert "there is no net 'nowhere' and no folder of this name" in said("--init-from", "nowhere")
    assert f"{data} is not a folder of a trained net: it has no config.json" in said("--init-from", data)
    wide = ["--init-from", net, "--set", "model_args.width_multiplier=0.3"]
    assert "the weights do not fit configuration A: misshapen" in said(*wide)
    kept = said("--init-from", net, "--set", "batch_size=2", recipe="pasted_digits_a")
    assert "learned from images divided by (63.75, 51, 31.875)" in kept
    assert "--recipe finetune_d gives any trained net a new last layer (docs/own_classes.md)" in kept
    assert "this one begins with none. For classes of your own, --recipe" in said(
        "--init-from", net, recipe="vgg_a_s256"
    )
    assert "HF_HUB_OFFLINE is set and VGG_ILSVRC_16_layers.caffemodel is not in the cache" in said()


def test_another_net_to_begin_with_is_another_run(net: Path, photos: Make, tmp_path: Path) -> None:
    """The folder of a run names the weights that it began with."""
    data = photos(4, 4)
    succeed(finetune(net, data, tmp_path / "run", *SMALL, "--max-steps", 1))
    done = run(finetune(net_folder(tmp_path / "other"), data, tmp_path / "run", *SMALL))
    assert done.returncode == 1
    assert f"begins_with is '{net}' there and '{tmp_path / 'other'}' now" in done.stderr
