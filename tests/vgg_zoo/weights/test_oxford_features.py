"""What the paper's own net is good for: descriptors of its trunk against those of a net that learned nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from tests.vgg_zoo.weights.formats import Arrays, caffe
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.weights.read import read_weights

BLOCK, PATCH = 106, 64
"""Sides in pixels: of the part of a photo that is a class, and of the patches to be told."""

pytestmark = pytest.mark.slow
Labelled = tuple[list[np.ndarray], list[int]]


def patches() -> tuple[Labelled, Labelled]:
    """Patches of 48 textures, the blocks of two photos; test patches are others, darker or brighter, some mirrored."""
    generator = np.random.default_rng(0)
    training: Labelled = ([], [])
    test: Labelled = ([], [])
    blocks = [
        photo[top : top + BLOCK, left : left + BLOCK]
        for photo in (load_sample_image("china.jpg"), load_sample_image("flower.jpg"))
        for top in range(0, photo.shape[0] - BLOCK + 1, BLOCK)
        for left in range(0, photo.shape[1] - BLOCK + 1, BLOCK)
    ]
    for label, block in enumerate(blocks):
        for place in range(6):
            top, left = generator.integers(0, BLOCK - PATCH, 2)
            patch = block[top : top + PATCH, left : left + PATCH]
            if place >= 3:
                light = patch * generator.uniform(0.5, 1.5) + generator.uniform(-30, 30)
                patch = light.clip(0, 255).astype(np.uint8)[:, :: -1 if place % 2 else 1]
            images, labels = training if place < 3 else test
            images.append(np.ascontiguousarray(patch))
            labels.append(label)
    return training, test


def test_a_linear_svm_tells_textures_by_oxfords_trunk_and_not_by_a_random_one(trunk: Arrays, tmp_path: Path) -> None:
    """Of 48 textures in two real photos, pool5 of the real trunk recognises most, that of a random net few."""
    (tmp_path / "trunk.caffemodel").write_bytes(caffe(trunk))
    tensors, _ = read_weights(tmp_path / "trunk.caffemodel")
    training, test = patches()
    shares = {}
    for name in ("oxford", "random"):
        torch.manual_seed(0)
        net: Any = timm.create_model("vgg_d.oxford_in1k", head_hidden_size=8)  # FC layers that nothing runs
        if name == "oxford":
            net.load_state_dict(tensors, strict=False)
        pipeline = make_pipeline(
            ImageDescriptor(net, layer="pool5", scales=(PATCH,), flip=False), LinearSVC(C=10, random_state=0)
        )
        shares[name] = pipeline.fit(*training).score(*test)
    assert len(set(test[1])) == 48
    assert shares["oxford"] > 0.55
    assert shares["oxford"] > shares["random"] + 0.25
