"""Other programs' forms of a VGG: converted rightly, or refused by their own name with the way out."""

import re
from argparse import Namespace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import fftconvolve
from torch import Tensor

import vgg_zoo  # noqa: F401 (registers the nets)
from tests.helpers import in_torchvisions_layout
from tests.vgg_zoo.weights.formats import Arrays, caffe, in_keras_layout, in_oxfords_layout, keras, theano_keras
from tests.vgg_zoo.weights.test_convert_input import assert_close, caffes_logits, converted, of_caffe
from tests.vgg_zoo.weights.test_read import assert_same, weights
from vgg_zoo.weights.convert import convert, net_with
from vgg_zoo.weights.read import read_weights

WAY_OUT = "keep the convolutions, give them new, random FC layers with --random-head CLASSES"


def convolutions(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A net's trunk."""
    return {key: value for key, value in state_dict.items() if key.startswith("features.")}


def assert_trunk_converts(file: Path, expected: dict[str, Tensor]) -> None:
    """With --random-head the convolutions are the file's."""
    found = net_with(read_weights(file)[0], random_head=3).state_dict()
    assert found["head.fc.weight"].shape == (3, 4096)
    assert_same(convolutions(found), convolutions(expected))


PREFIXES = ("module.", "model.", "backbone.", "net.", "vgg.", "encoder.", "module.model.net.", "_orig_mod.module.vgg.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_names_before_a_whole_net_are_stripped(layout: str, prefix: str, tmp_path: Path) -> None:
    """In both kinds of file."""
    expected = weights() if layout == "timm" else in_torchvisions_layout(weights())
    named = {prefix + key: value for key, value in expected.items()}
    torch.save({"state_dict": named}, tmp_path / "pickled")
    save_file(named, tmp_path / "safetensors")
    for kind in ("pickled", "safetensors"):
        found, info = read_weights(tmp_path / kind)
        assert_same(found, expected)
        assert info.tag == layout


@pytest.mark.parametrize("prefix", ["features.module.", "model.features.module.", "module.encoder.", "vgg.", ""])
def test_features_within_a_module_or_by_themselves(prefix: str, tmp_path: Path) -> None:
    """DataParallel around `features`, as torchvision's first training had it, and an encoder that is `features`."""
    expected = in_torchvisions_layout(weights("vgg_e"))
    outer = prefix.removesuffix("features.module.") if "features" in prefix else ""
    named = {
        prefix + key.removeprefix("features.") if key.startswith("features.") else outer + key: value
        for key, value in expected.items()
    }
    torch.save(named, tmp_path / "x")
    assert_same(read_weights(tmp_path / "x")[0], expected)
    torch.save({key: value for key, value in named.items() if "classifier" not in key}, tmp_path / "x")
    assert_same(read_weights(tmp_path / "x")[0], convolutions(expected))


def test_a_prefix_stays_where_the_rest_does_not_fit(tmp_path: Path) -> None:
    """Another program's net keeps its names, which the error shows."""
    save_file({"net.0.weight": torch.zeros(4, 3, 3, 3), "net.1.weight": torch.zeros(4)}, tmp_path / "x")
    assert set(read_weights(tmp_path / "x")[0]) == {"net.0.weight", "net.1.weight"}
    with pytest.raises(ValueError, match=r"unexpected: net\.0\.weight"):
        convert(tmp_path / "x", tmp_path / "net")


def test_two_nets_in_one_file_are_refused(tmp_path: Path) -> None:
    """Which of them is meant, a file cannot tell."""
    two = {f"{name}.features.{key}": value for name in ("net", "vgg") for key, value in bare(weights()).items()}
    torch.save(two, tmp_path / "x")
    expected = "has the convolutions of 2 nets, under 'net.features.', 'vgg.features.'; save only one of them"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_weights(tmp_path / "x")


def bare(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk as `features` alone has it: "0.weight", ..."""
    return {key.removeprefix("features."): value for key, value in convolutions(state_dict).items()}


def test_a_head_of_ones_own_is_named(tmp_path: Path) -> None:
    """After the trunk of a larger module; its convolutions are converted, and ignored layers are reported."""
    expected = weights()
    torch.manual_seed(1)
    own = {"fc.weight": torch.randn(2, 9), "fc.bias": torch.randn(2), "head.0.weight": torch.randn(9, 51 * 4)}
    torch.save({f"model.backbone.{key}": value for key, value in convolutions(expected).items()} | own, tmp_path / "x")
    message = f"after the convolutions it has its own layers, not the paper's: fc (2×9), head.0 (9×204). To {WAY_OUT}"
    with pytest.raises(ValueError, match=re.escape(message)):
        convert(tmp_path / "x", tmp_path / "net")
    assert_trunk_converts(tmp_path / "x", expected)


@pytest.mark.slow
def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """In the sentence and in the folder's description."""
    torch.save(convolutions(weights()) | {"fc.weight": torch.ones(2, 9)}, tmp_path / "x")
    said = convert(tmp_path / "x", tmp_path / "net", random_head=2)
    assert "with 2 outputs, FC layers random, left out: fc." in said
    assert "FC layers random, left out: fc." in (tmp_path / "net/config.json").read_text()


def test_another_classifier_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Two FC layers in torchvision's layout; a third of another name in Caffe's."""
    state_dict = in_torchvisions_layout(weights())
    del state_dict["classifier.6.weight"], state_dict["classifier.6.bias"]
    state_dict["classifier.3.weight"] = torch.zeros(2, 24)
    torch.save(state_dict, tmp_path / "x")
    with pytest.raises(ValueError, match=f"misshapen.*To {WAY_OUT}"):
        convert(tmp_path / "x", tmp_path / "net")
    renamed = {key.replace("fc8", "fc8_flowers"): value for key, value in of_caffe().items()}
    (tmp_path / "x").write_bytes(caffe(renamed))
    with pytest.raises(ValueError, match=f"unexpected: fc8_flowers.*To {WAY_OUT}"):
        convert(tmp_path / "x", tmp_path / "net")
    (tmp_path / "x").write_bytes(caffe(renamed | {"conv2_1 bias": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match=r"misshapen: features\.5\.bias") as error:
        convert(tmp_path / "x", tmp_path / "net")
    assert "--random-head" not in str(error.value)


@pytest.mark.parametrize("layout", ["1", "2", "model", "3"])
def test_keras_dense_layers_of_ones_own(layout: str, tmp_path: Path) -> None:
    """By the names that Keras gives them."""
    expected = weights()
    keras(tmp_path / "x", in_oxfords_layout(expected, "vgg_d"), 2, layout, top=False)
    with h5py.File(tmp_path / "x", "a") as opened:
        for name, shape in (("dense", (204, 7)), ("dense_1", (7, 2))):
            group = {"2": f"{name}/{name}", "model": f"model_weights/{name}/{name}", "3": f"layers/{name}/vars"}
            weight, bias = ("0", "1") if layout == "3" else ("kernel:0", "bias:0")
            at = group.get(layout, name)
            opened[f"{at}/{weight}"], opened[f"{at}/{bias}"] = (
                np.ones(shape, np.float32),
                np.ones(shape[1:], np.float32),
            )
            if layout == "3":
                opened[at].attrs["name"] = name
        opened["optimizer/vars/0"] = np.ones(3, np.float32)
        opened["layers/dropout/seed_generator/vars/0"] = np.ones(2, np.uint32)
    assert_same(convolutions(read_weights(tmp_path / "x")[0]), convolutions(expected))
    with pytest.raises(ValueError, match=r"its own layers, not the paper's: .*dense.*--random-head") as error:
        convert(tmp_path / "x", tmp_path / "net")
    assert all(name in str(error.value) for name in ("dense", "dense_1"))
    assert "dropout" not in str(error.value)
    assert_trunk_converts(tmp_path / "x", expected)


def fc_reduced(arrays: Arrays) -> Arrays:
    """DeepLab's and SSD's FC layers behind net D's convolutions."""
    found = {key: value for key, value in arrays.items() if key.startswith("conv")}
    channels = len(arrays["conv5_3"])
    for name, shape in (("fc6", (1024, channels, 3, 3)), ("fc7", (1024, 1024, 1, 1)), ("fc8_voc12", (21, 1024, 1, 1))):
        found[name], found[f"{name} bias"] = np.full(shape, 0.01, np.float32), np.zeros(shape[0], np.float32)
    return found


REDUCED = f"its FC layers are DeepLab's and SSD's fc_reduced: .*dilated by 6.*to {WAY_OUT}"


@pytest.mark.parametrize("kind", ["V1", "V2", "without fc8", "Keras"])
def test_fc_reduced_is_no_net_of_the_paper(kind: str, tmp_path: Path) -> None:
    """Caffe's VGG_ILSVRC_16_layers_fc_reduced, DeepLab's, and the former in Keras under Caffe's names."""
    expected = weights()
    arrays = fc_reduced(in_oxfords_layout(expected, "vgg_d"))
    if kind == "without fc8":
        arrays = {key: value for key, value in arrays.items() if not key.startswith("fc8")}
    if kind == "Keras":
        with h5py.File(tmp_path / "x", "w") as opened:
            for name in (key for key in arrays if " " not in key):
                opened[f"{name}/{name}/kernel:0"] = arrays[name].transpose(2, 3, 1, 0)
                opened[f"{name}/{name}/bias:0"] = arrays[f"{name} bias"]
    else:
        (tmp_path / "x").write_bytes(caffe(arrays, version=2 if kind == "V2" else 1))
    with pytest.raises(ValueError, match=REDUCED):
        convert(tmp_path / "x", tmp_path / "net")
    assert not (tmp_path / "net").exists()
    assert_trunk_converts(tmp_path / "x", expected)


@pytest.mark.parametrize("detector", [False, True])
def test_ssds_list_of_layers(detector: bool, tmp_path: Path) -> None:
    """vgg16_reducedfc.pth counts layers from 0 with no name before them; a whole SSD has them in `vgg`."""
    expected = weights()
    saved = bare(expected)
    for place, shape in ((31, (1024, 51, 3, 3)), (33, (1024, 1024, 1, 1))):
        saved |= {f"{place}.weight": torch.full(shape, 0.01), f"{place}.bias": torch.zeros(shape[0])}
    if detector:
        saved = {f"vgg.{key}": value for key, value in saved.items()}
        saved |= {f"{name}.0.weight": torch.zeros(4, 51, 3, 3) for name in ("extras", "loc", "conf")}
        saved["L2Norm.weight"] = torch.ones(51)
    torch.save(saved, tmp_path / "x")
    with pytest.raises(ValueError, match=REDUCED):
        convert(tmp_path / "x", tmp_path / "net")
    assert_trunk_converts(tmp_path / "x", expected)


def test_a_small_head_of_ones_own_training_is_not_fc_reduced(tmp_path: Path) -> None:
    """timm's layout with the same sizes is this zoo's."""
    expected = weights(head_hidden_size=1024, head_kernel_size=3)
    save_file(expected, tmp_path / "x")
    assert "with 5 outputs." in convert(tmp_path / "x", tmp_path / "net")


@pytest.mark.parametrize("net", ["vgg_a", "vgg_c", "vgg_d", "vgg_e"])
def test_kernels_of_keras_on_theano(net: str, tmp_path: Path) -> None:
    """vgg16_weights_th_dim_ordering_th_kernels.h5: outputs first, turned, and the matrix in the order C, H, W."""
    expected = weights(net)
    theano_keras(tmp_path / "x", in_oxfords_layout(expected, net))
    found, info = read_weights(tmp_path / "x")
    assert info.kind == "Keras 1 on Theano"
    assert_same(found, expected)


def test_theanos_kernels_give_theanos_logits(tmp_path: Path) -> None:
    """Those of SciPy, which convolves as Theano, with the file's own kernels."""
    arrays = of_caffe()
    theano_keras(tmp_path / "x", arrays)
    with h5py.File(tmp_path / "x") as opened:
        for name, theirs in zip((key for key in arrays if " " not in key), keras_order(arrays), strict=True):
            kernel = opened[f"{theirs}/{theirs}_W_1:0"][()]
            arrays[name] = kernel if kernel.ndim == 4 else kernel.T

    def convolved(maps: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        edge, (height, width) = kernel.shape[-1] // 2, maps.shape[2:]
        full = fftconvolve(maps[:, None], kernel[None], axes=(3, 4)).sum(2)
        return full[..., edge : edge + height, edge : edge + width]

    convert(tmp_path / "x", tmp_path / "net")
    assert_close(converted(tmp_path / "net")[0], caffes_logits(arrays, convolved))


def keras_order(arrays: Arrays) -> list[str]:
    """Keras' names of the layers."""
    return [name for name, _, _ in in_keras_layout(arrays, 2)]


@pytest.mark.parametrize("layout", ["2", "model"])
def test_keras_2_on_theano_is_refused(layout: str, tmp_path: Path) -> None:
    """Its kernels are turned and look like TensorFlow's; TensorFlow's own say so too."""
    keras(tmp_path / "x", of_caffe(), 2, layout)
    for backend, message in (("theano", "written by Keras 2 on Theano.*save it there"), ("tensorflow", None)):
        with h5py.File(tmp_path / "x", "a") as opened:
            opened.get("model_weights", opened).attrs["backend"] = np.bytes_(backend)
        if message:
            with pytest.raises(ValueError, match=message):
                read_weights(tmp_path / "x")
        else:
            assert read_weights(tmp_path / "x")[1].kind == "Keras"


class Options:
    """Another class than argparse's."""


def test_only_argparses_class_is_unpickled(tmp_path: Path) -> None:
    """Also within it."""
    for args in (Options(), Namespace(inner=Options())):
        torch.save({"state_dict": weights(), "args": args}, tmp_path / "x")
        with pytest.raises(ValueError, match="never runs Python objects"):
            read_weights(tmp_path / "x")
    assert Namespace not in torch.serialization.get_safe_globals()
