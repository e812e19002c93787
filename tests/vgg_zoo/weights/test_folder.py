"""timm's folder: what is written, and that timm gives the same net back."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config

import vgg_zoo  # noqa: F401 (registers the nets)
from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.weights.folder import save_folder

SMALL = {"width_multiplier": 0.1, "head_hidden_size": 16, "head_kernel_size": 1, "num_classes": 4}


def save(model: torch.nn.Module, folder: Path, **changes: Any) -> dict[str, Any]:
    """Save with ordinary settings; returns config.json."""
    settings: dict[str, Any] = {
        "tag": "mine",
        "licence": "mit",
        "mean": IMAGENET_MEAN,
        "input_size": (3, 32, 32),
        "crop_pct": 0.8,
        "class_names": ["cat", "dog", "eel", "fox"],
    }
    save_folder(model, folder, **settings | changes)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.mark.parametrize("name", sorted(timm.list_models("vgg_*")))
def test_timm_gives_the_net_back(name: str, tmp_path: Path) -> None:
    """`local-dir:` needs no argument and gives equal logits, for every net."""
    model = timm.create_model(name, **SMALL).eval()
    save(model, tmp_path / "net")
    again = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 40)
    with torch.inference_mode():
        assert torch.equal(model(images), again(images))
    assert again.pretrained_cfg["label_names"] == ["cat", "dog", "eel", "fox"]


def test_the_config_says_what_the_weights_are(tmp_path: Path) -> None:
    """Tag and licence are the new weights' own, and num_classes is not where TimmWrapper would find it twice."""
    config = save(timm.create_model("vgg_a", **SMALL), tmp_path)
    assert config["architecture"] == "vgg_a"
    assert config["num_classes"] == 4
    assert "num_classes" not in config["model_args"]
    assert config["pretrained_cfg"]["tag"] == "mine"
    assert config["pretrained_cfg"]["license"] == "mit"
    assert "hf_hub_id" not in config["pretrained_cfg"]
    assert "origin_url" not in config["pretrained_cfg"]


def test_only_two_files_are_written_and_none_is_a_pickle(tmp_path: Path) -> None:
    """Nothing else is left in the folder, and others may read both files."""
    save(timm.create_model("vgg_a", **SMALL), tmp_path / "net")
    files = sorted((tmp_path / "net").iterdir())
    assert [file.name for file in files] == ["config.json", "model.safetensors"]
    assert files[0].stat().st_mode == files[1].stat().st_mode


def test_a_net_in_nhwc_is_saved_and_left_as_it_is(tmp_path: Path) -> None:
    """safetensors refuses such tensors; the caller's net keeps its layout and mode."""
    model = timm.create_model("vgg_c", **SMALL).to(memory_format=torch.channels_last).train()
    save(model, tmp_path)
    assert model.training
    assert not model.features[2].weight.is_contiguous()
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())


def test_timms_transform_subtracts_the_mean_only(tmp_path: Path) -> None:
    """timm's own transform feeds the net RGB in 0–255 minus the mean."""
    from PIL import Image

    save(timm.create_model("vgg_a", **SMALL), tmp_path)
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    config = resolve_data_config(model=model)
    assert config["input_size"] == (3, 32, 32)
    assert config["crop_pct"] == 0.8
    pixels = create_transform(**config)(Image.new("RGB", (50, 60), (200, 100, 0)))
    expected = torch.tensor([200 - 123.68, 100 - 116.779, -103.939]).view(3, 1, 1).expand(3, 32, 32)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-3)
