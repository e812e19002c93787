"""What a converted net takes (order of colours, mean, deviation), and whose logits it then gives."""

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from tests.helpers import in_torchvisions_layout
from tests.vgg_zoo.weights.formats import Arrays, caffe, in_oxfords_layout, keras, logits, matconvnet, prototxt
from tests.vgg_zoo.weights.test_read import weights
from vgg_zoo.weights.convert import convert

CAFFES_MEAN = (103.939, 116.779, 123.68)
FACES_MEAN = (129.1863, 104.7624, 93.5940)
OXFORDS_FILTER, OXFORDS_BIASES = (0.42947057, 0.55037946, 0.48001540), (0.7342983, 0.0934037, 0.0677567)
OXFORDS = "known by Oxford's first filters"


def photos() -> np.ndarray:
    """Two of random pixels, RGB in 0–255: (2, 3, 64, 64)."""
    return np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64)).astype(np.float32)


def of_caffe(oxfords: bool = False) -> Arrays:
    """Net D as Caffe has it, BGR; `oxfords` with the numbers that are known of Oxford's."""
    arrays = in_oxfords_layout(weights(), "vgg_d")
    if oxfords:
        first = arrays["conv1_1"] = arrays["conv1_1"].copy()
        first[0, :, 0, 0] = OXFORDS_FILTER
        arrays["conv1_1 bias"][:3] = OXFORDS_BIASES
    return arrays


def caffes_logits(arrays: Arrays, *convolved: Any) -> np.ndarray:
    """BGR in 0–255 minus Caffe's mean, as Oxford trained."""
    return logits(arrays, photos()[:, ::-1] - np.array(CAFFES_MEAN)[:, None, None], *convolved)


def as_torchvisions(arrays: Arrays, classifier: tuple[int, ...] = (0, 3, 6)) -> dict[str, torch.Tensor]:
    """Under torchvision's names, with conv1_1 as it is: what vgg16-00b39a1b.pth and vgg19-d01eb7cb.pth are."""
    keys = weights()
    names = [key.removesuffix(".weight") for key in in_torchvisions_layout(keys) if key.endswith(".weight")]
    names[-3:] = [f"classifier.{place}" for place in classifier]
    found = {}
    for ours, theirs in zip((key for key in arrays if " " not in key), names, strict=True):
        found[f"{theirs}.weight"] = torch.from_numpy(arrays[ours].copy())
        found[f"{theirs}.bias"] = torch.from_numpy(arrays[f"{ours} bias"].copy())
    return found


def converted(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The folder's logits of the photos, prepared as its config says, and its config."""
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    mean, deviation = (torch.tensor(net.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    with torch.inference_mode():
        found = net((torch.from_numpy(photos()) / 255 - mean) / deviation)
    return found.numpy(), net.pretrained_cfg


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-5 of the largest logit."""
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("classifier", [(0, 3, 6), (1, 4, 6)])
@pytest.mark.parametrize("half", [False, True])
def test_oxfords_weights_under_torchvisions_names_are_recognised(
    half: bool, classifier: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their known first filter: Caffe's input without any option, with the reason."""
    arrays = of_caffe(oxfords=True)
    if half:
        arrays = {key: value.astype(np.float16).astype(np.float32) for key, value in arrays.items()}
    torch.save(as_torchvisions(arrays, classifier), tmp_path / "x.pth")
    said = convert(tmp_path / "x.pth", tmp_path / "net")
    assert f"Input: colours BGR turned to RGB ({OXFORDS}), mean 123.68 116.779 103.939 ({OXFORDS})" in said
    found, config = converted(tmp_path / "net")
    assert_close(found, caffes_logits(arrays))
    assert OXFORDS in config["description"]


def test_oxfords_weights_for_rgb_are_recognised_too(tmp_path: Path) -> None:
    """Torchvision's IMAGENET1K_FEATURES and MatConvNet's file have the same filter with its channels turned."""
    arrays = of_caffe(oxfords=True)
    turned = arrays | {"conv1_1": arrays["conv1_1"][:, ::-1]}
    torch.save(as_torchvisions(turned), tmp_path / "x.pth")
    assert f"colours RGB ({OXFORDS}), mean 123.68" in convert(tmp_path / "x.pth", tmp_path / "net")
    (tmp_path / "x.caffemodel").write_bytes(caffe(turned))
    assert f"colours RGB ({OXFORDS})" in convert(tmp_path / "x.caffemodel", tmp_path / "caffe")
    for folder in ("net", "caffe"):
        assert_close(converted(tmp_path / folder)[0], caffes_logits(arrays))


def test_an_unknown_state_dict_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output says what was assumed; the option for the order gives Caffe's input and logits."""
    arrays = of_caffe()
    torch.save(as_torchvisions(arrays), tmp_path / "x.pth")
    said = convert(tmp_path / "x.pth", tmp_path / "net")
    line = (
        "Input: colours RGB (assumed), mean 123.675 116.28 103.53 (assumed), deviation 58.395 57.12 57.375 (assumed)."
    )
    assert line in said
    found, config = converted(tmp_path / "net")
    assert line in config["description"]
    expected = caffes_logits(arrays)
    assert np.abs(found - expected).max() > 0.5 * np.abs(expected).max()
    said = convert(tmp_path / "x.pth", tmp_path / "bgr", order="bgr")
    line = (
        "Input: colours BGR turned to RGB (as given), mean 123.68 116.779 103.939 (assumed), deviation 1 1 1 (assumed)."
    )
    assert line in said
    found, config = converted(tmp_path / "bgr")
    assert_close(found, expected)
    assert line in config["description"]


def test_caffes_net_of_rgb_gives_opencvs_logits(tmp_path: Path) -> None:
    """With --order rgb conv1_1 stays; OpenCV gets RGB minus the mean that was given."""
    arrays = of_caffe()
    (tmp_path / "x").write_bytes(caffe(arrays, version=2))
    said = convert(tmp_path / "x", tmp_path / "net", order="rgb", mean=FACES_MEAN)
    assert "colours RGB (as given), mean 129.186 104.762 93.594 (as given), deviation 1 1 1 (assumed" in said
    (tmp_path / "net.prototxt").write_text(prototxt(arrays, 64, 64))
    theirs = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "x"))
    expected = []
    for photo in photos() - np.array(FACES_MEAN, np.float32)[:, None, None]:
        theirs.setInput(np.ascontiguousarray(photo[None]))
        expected.append(theirs.forward("fc8").ravel())
    assert_close(converted(tmp_path / "net")[0], np.stack(expected))


def described(classes: str = "description", **more: Any) -> dict[str, Any]:
    """VGG-Face's `normalization` and `classes`, for five outputs."""
    names = np.array(["Ann Lee", "Bo", "Cy", "Di", "Ed"], object)[:, None]
    return {"normalization": {"averageImage": np.array(FACES_MEAN)[None, None]}, "classes": {classes: names}} | more


@pytest.mark.parametrize(
    "beside",
    [
        {"meta": described()},
        described("name"),
        {"meta": described(normalization={"averageImage": np.array(FACES_MEAN)[:, None]})},
        {"meta": described(normalization={"averageImage": np.tile(np.array(FACES_MEAN), (64, 64, 1))})},
    ],
    ids=["meta", "older", "a column", "an image"],
)
def test_matconvnets_own_mean_and_class_names(beside: dict[str, Any], tmp_path: Path) -> None:
    """As VGG-Face has them; the logits are those of RGB minus that mean."""
    arrays = of_caffe()
    matconvnet(tmp_path / "x.mat", arrays, 2, **beside)
    said = convert(tmp_path / "x.mat", tmp_path / "net")
    assert "mean 129.186 104.762 93.594 (the file's averageImage), deviation 1 1 1 (assumed" in said
    found, config = converted(tmp_path / "net")
    assert_close(found, logits(arrays, photos()[:, ::-1] - np.array(FACES_MEAN)[::-1, None, None]))
    assert config["label_names"] == ["Ann Lee", "Bo", "Cy", "Di", "Ed"]
    said = convert(tmp_path / "x.mat", tmp_path / "other", mean=(1, 2, 3), class_names=list("abcde"))
    assert "mean 1 2 3 (as given)" in said
    assert converted(tmp_path / "other")[1]["label_names"] == list("abcde")


@pytest.mark.parametrize("image", ["none", np.zeros(2), np.full((1, 1, 3), np.nan), np.zeros((0, 0, 3))])
def test_a_mean_that_is_none_is_not_taken(image: Any, tmp_path: Path) -> None:
    """And class names whose number differs from that of the outputs, with a note."""
    classes = {"description": np.array(["a", "b"], object)}
    matconvnet(tmp_path / "x", of_caffe(), 2, meta={"normalization": {"averageImage": image}, "classes": classes})
    said = convert(tmp_path / "x", tmp_path / "net")
    assert "mean 123.68 116.779 103.939 (assumed)" in said
    assert "The file's 2 class names are left out." in said
    assert not converted(tmp_path / "net")[1].get("label_names")


def test_a_checkpoint_of_timms_training_tells_its_input(tmp_path: Path) -> None:
    """Its moving average, under timm's options --mean and --std; nothing else in it is looked at."""
    expected = weights()
    args = Namespace(model="vgg16", mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.25], lr=None, opt_betas=(0.9, 0.99))
    saved = {"epoch": 3, "arch": "vgg16", "state_dict": weights(), "state_dict_ema": expected, "version": 2}
    saved |= {"args": args, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "metric": 71.0}
    torch.save(saved, tmp_path / "x.pth.tar")
    said = convert(tmp_path / "x.pth.tar", tmp_path / "net")
    why = "the checkpoint's args"
    assert f"mean 127.5 102 76.5 ({why}), deviation 51 51 63.75 ({why})" in said
    pixels = (photos() / 255 - np.array(args.mean)[:, None, None]) / np.array(args.std)[:, None, None]
    assert_close(converted(tmp_path / "net")[0], logits(in_oxfords_layout(expected, "vgg_d"), pixels[:, ::-1]))
    torch.save(saved | {"args": Namespace(mean=None, std=None)}, tmp_path / "x.pth.tar")
    assert "mean 123.675 116.28 103.53 (assumed" in convert(tmp_path / "x.pth.tar", tmp_path / "usual")


def test_an_order_that_cannot_be(tmp_path: Path) -> None:
    """Another word, and a net of grey images."""
    torch.save(weights(in_chans=1), tmp_path / "x")
    with pytest.raises(ValueError, match=re.escape("unknown order of colours 'RGB'; it is one of rgb, bgr")):
        convert(tmp_path / "x", tmp_path / "net", order="RGB")
    with pytest.raises(ValueError, match="order 'bgr' needs a first convolution of 3 channels"):
        convert(tmp_path / "x", tmp_path / "net", order="bgr", mean=[100], deviation=[50])
    said = convert(tmp_path / "x", tmp_path / "net", mean=[100], deviation=[50])
    assert "Input: mean 100 (as given), deviation 50 (as given)." in said
    torch.save(weights(in_chans=4), tmp_path / "x")
    with pytest.raises(ValueError, match="takes images of 4 channels; vgg_zoo takes colour images"):
        convert(tmp_path / "x", tmp_path / "four", mean=[100] * 4, deviation=[50] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_oxfords_real_filters_are_known(order: str, trunk: Arrays, tmp_path: Path) -> None:
    """Of net D, from the wheel, in files of three kinds."""
    turned = trunk if order == "bgr" else trunk | {"conv1_1": trunk["conv1_1"][:, ::-1]}
    (tmp_path / "caffe").write_bytes(caffe(turned))
    keras(tmp_path / "keras", turned, 7, top=False)
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    convs = zip(places, (key for key in turned if " " not in key), strict=True)
    torch.save(
        {
            f"{i}.{kind}": torch.from_numpy(turned[key].copy())
            for i, name in convs
            for kind, key in (("weight", name), ("bias", f"{name} bias"))
        },
        tmp_path / "torch",
    )
    for kind in ("caffe", "keras", "torch"):
        said = convert(tmp_path / kind, tmp_path / f"{kind}_net", random_head=2)
        assert f"colours {order.upper()}" in said
        assert said.count(OXFORDS) == 3
