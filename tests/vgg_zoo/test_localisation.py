"""Nets that predict boxes, and the Localiser, beside arithmetic written apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import vgg_zoo
from tests.helpers import SMALL
from vgg_zoo import BoxVGG, DenseEvaluator, Fusion, Localiser
from vgg_zoo.boxes.merging import merge
from vgg_zoo.images.inputs import at_scales, net_input
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.weights.folder import save_folder

CLASSES = 6
SMALLEST = {**SMALL, "num_classes": CLASSES}


def box_net(regression: str = "pcr", name: str = "vgg_a_box", seed: int = 0) -> Any:
    """A small net with boxes of some size in its bias, so that they overlap."""
    torch.manual_seed(seed)
    net: Any = timm.create_model(name, regression=regression, **SMALLEST).eval()
    with torch.no_grad():
        net.head.fc.bias.copy_(torch.tensor([0.0, 0.0, 0.8, 0.8]).repeat(net.boxes))
    return net


def classifier(seed: int = 1) -> Any:
    """A small net that classifies."""
    torch.manual_seed(seed)
    return timm.create_model("vgg_a", **SMALLEST).eval()


def image(height: int = 90, width: int = 130, seed: int = 0) -> np.ndarray[Any, Any]:
    """Noise, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("regression", "count"), [("pcr", 150_648_544), ("scr", 134_276_932)])
def test_net_d_has_the_papers_number_of_parameters(regression: str, count: int) -> None:
    """4000 outputs for 1000 classes, or 4."""
    net = timm.create_model("vgg_d_box", regression=regression, device="meta")
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("name", vgg_zoo.entrypoints.BOX_NETS)
@pytest.mark.parametrize("regression", ["pcr", "scr"])
def test_every_configuration_has_a_net_that_predicts_boxes(name: str, regression: str) -> None:
    """Its trunk and hidden layers are those of the net that classifies, its last layer is not; it has gradients."""
    net, plain = box_net(regression, name), timm.create_model(name.removesuffix("_box"), **SMALLEST)
    assert isinstance(net, BoxVGG)
    assert net.configuration == plain.configuration
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert {key for key, value in plain.state_dict().items() if shapes[key] != value.shape} == {
        "head.fc.weight",
        "head.fc.bias",
    }
    outputs = net.train()(torch.randn(2, 3, 64, 64))
    assert outputs.shape == (2, 4 * (CLASSES if regression == "pcr" else 1))
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_timms_interface_holds_for_nets_that_predict_boxes(tmp_path: Path) -> None:
    """Features, other classes, no last layer, TorchScript, and the folder there and back."""
    net = box_net("scr")
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = net(images)
        assert torch.equal(torch.jit.script(net)(images), expected)
        assert net.forward_head(net.forward_features(images), pre_logits=True).shape == (2, net.head_hidden_size)
    save_folder(net, tmp_path, tag="x", licence=None, mean=(0, 0, 0), input_size=(3, 64, 64), crop_pct=0.5)
    again: Any = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert again.regression == "scr"
    with torch.inference_mode():
        torch.testing.assert_close(again(images), expected)
    net.reset_classifier(3)
    assert (net.num_classes, net.boxes, net(images).shape) == (3, 1, (2, 4))
    net.reset_classifier(0)
    assert net(images).shape == (2, net.head_hidden_size)
    pcr = box_net()
    pcr.reset_classifier(9)
    assert pcr(images).shape == (2, 36)


def test_the_box_of_a_class_is_its_four_outputs() -> None:
    """Class by class, and the same for every class where all share it."""
    outputs = torch.arange(2 * 24.0).view(2, 24)
    assert box_net().of_classes(outputs, torch.tensor([1, 5])).tolist() == [[4, 5, 6, 7], [44, 45, 46, 47]]
    assert box_net("scr").of_classes(outputs[:, :4], torch.tensor([1, 5])).tolist() == outputs[:, :4].tolist()


def slowly(nets: list[Any], scales: list[list[int]], classifiers: list[Any], q: list[int], pixels: Any) -> Any:
    """The second protocol window by window, on crops cut out of the rescaled image and run one at a time.

    A crop's border is padded, where a window's of the whole image is not: so each net runs on the whole image, and only
    what its map says is taken apart.
    """
    posteriors = torch.stack([DenseEvaluator(each, q, flip=True)([pixels])[0] for each in classifiers]).mean(0)
    found = []
    height, width = pixels.shape[:2]
    for score, number in zip(*(part.tolist() for part in posteriors.topk(5)), strict=True):
        boxes, scores = [], []
        for scale in sorted({scale for of_net in scales for scale in of_net}):
            small = rescale(pixels, scale)
            ratio = small.shape[2] / width, small.shape[1] / height
            maps = [each.class_score_map(net_input(each, small[None]))[0].softmax(0) for each in classifiers]
            for net, of_net in zip(nets, scales, strict=True):
                if scale not in of_net:
                    continue
                outputs = net.class_score_map(net_input(net, small[None]))[0]
                first = 4 * number if net.regression == "pcr" else 0
                for row in range(outputs.shape[1]):
                    for column in range(outputs.shape[2]):
                        cx, cy, w, h = outputs[first : first + 4, row, column].tolist()
                        x, y = 32 * column + 32 + 64 * cx, 32 * row + 32 + 64 * cy
                        w, h = 64 * max(w, 0), 64 * max(h, 0)
                        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                        boxes.append([value / ratio[i % 2] for i, value in enumerate(corners)])
                        scores.append(sum(part[number, row, column].item() for part in maps) / len(maps))
        best = merge(torch.tensor(boxes, dtype=torch.float64), torch.tensor(scores)).boxes[0].tolist()
        limits = (width, height, width, height)
        found.append((number, score, [min(max(value, 0), limit) for value, limit in zip(best, limits, strict=True)]))
    return found


@torch.inference_mode()
@pytest.mark.parametrize("regression", ["pcr", "scr"])
def test_localiser_is_the_slow_reference(regression: str) -> None:
    """Two nets at scales of their own, two classifiers, and an image that is no square."""
    nets = [box_net(regression), box_net("pcr", seed=3)]
    scales, q = [[64], [80, 96]], [64, 96]
    classifiers = [classifier(), classifier(2)]
    fused = Fusion([DenseEvaluator(each, q) for each in classifiers])
    localiser = Localiser(nets, fused, scales)
    pixels = image()
    found, expected = localiser(pixels), slowly(nets, scales, classifiers, q, pixels)
    assert [each.name for each in found] == [str(number) for number, _, _ in expected]
    for each, (_, score, box) in zip(found, expected, strict=True):
        assert each.score == pytest.approx(score, rel=1e-4)
        assert each.box == pytest.approx(box, abs=1e-2)


def test_images_of_several_shapes_and_one_that_is_none() -> None:
    """Each image gets its own row, whatever is beside it; a missing one is NaN."""
    localiser = Localiser(box_net(), DenseEvaluator(classifier(), [64, 80]), [64, 72], top=3)
    images = [image(), image(200, 90, 1), image(seed=2)]
    rescaled = [at_scales(each, localiser.scales) for each in images]
    rows = localiser.of_rescaled([rescaled[0], None, rescaled[1], rescaled[2]])
    assert rows.shape == (4, 3, 6)
    assert rows[1].isnan().all()
    for place, each in zip((0, 2, 3), rescaled, strict=True):
        torch.testing.assert_close(rows[place], localiser.of_rescaled([each])[0], atol=1e-4, rtol=1e-4)
    assert ((rows[0][:, 2:] >= 0) & (rows[0][:, 2:] <= 1)).all()


def test_a_picture_shows_the_box() -> None:
    """Pixels change at the box's border, and those far from box and label do not."""
    net = box_net()
    torch.nn.init.zeros_(net.head.fc.weight)
    localiser = Localiser(net, DenseEvaluator(classifier(), [64]), [64])
    pixels = np.full((300, 300, 3), 200, np.uint8)
    picture = np.asarray(localiser.draw(Image.fromarray(pixels)))
    (_, _, (left, top, right, bottom)), *_ = localiser(pixels)
    assert picture.shape == pixels.shape
    row, column = int((top + bottom) / 2), int((left + right) / 2)
    assert (left, top, right, bottom) == pytest.approx((30, 30, 270, 270), abs=1e-3)
    assert (picture[row, int(left) + 1] != 200).any()
    assert (picture[int(bottom) - 1, column] != 200).any()
    assert (picture[row, column] == 200).all()


def test_what_a_localiser_cannot_take_is_refused() -> None:
    """The message names the value and the options."""
    net, good = box_net(), DenseEvaluator(classifier(), [64])
    with pytest.raises(ValueError, match="vgg_d_box"):
        Localiser(classifier(), good)
    with pytest.raises(ValueError, match="BoxVGG predicts boxes and no classes"):
        Localiser(net, net)
    with pytest.raises(ValueError, match="each of the 2 nets"):
        Localiser([net, net], good, [64])
    with pytest.raises(ValueError, match="at least 64"):
        Localiser(net, good, [32])
    with pytest.raises(ValueError, match="close"):
        Localiser(net, good, [64], close=2)
    with pytest.raises(ValueError, match="top"):
        Localiser(net, good, [64], top=0)
    with pytest.raises(ValueError, match="6 classes and the classifier 4"):
        Localiser(net, timm.create_model("vgg_a", **{**SMALLEST, "num_classes": 4}), [64])
    with pytest.raises(ValueError, match="no net"):
        Localiser([], good)
    with pytest.raises(ValueError, match="xyz"):
        timm.create_model("vgg_a_box", regression="xyz", device="meta")


@torch.inference_mode()
def test_windows_are_the_same_whatever_the_classifiers_pooling() -> None:
    """The classifier's own ceil_mode is that of the image's posteriors; maps must have the same places."""
    for ceil_mode in (False, True):
        evaluators = [DenseEvaluator(classifier(), [72], ceil_mode=mode) for mode in (True, False)]
        found = Localiser(box_net(), Fusion(evaluators), [72], ceil_mode=ceil_mode)(image(100, 141))
        assert len(found) == 5


def test_nets_must_see_the_same_windows() -> None:
    """Of every classifier, not of the first one alone."""
    other = timm.create_model("vgg_a", **{**SMALLEST, "head_kernel_size": 1})
    with pytest.raises(ValueError, match="32 and 64 pixels"):
        Localiser(box_net(), Fusion([DenseEvaluator(classifier(), [64]), DenseEvaluator(other, [64])]), [64])


def test_nets_must_name_their_classes_alike() -> None:
    """As many classes in another order are other classes."""
    net, of_classes = box_net(), classifier()
    names = [f"class {number}" for number in range(net.num_classes)]
    net.pretrained_cfg["label_names"], of_classes.pretrained_cfg["label_names"] = names, names[::-1]
    with pytest.raises(ValueError, match="class"):
        Localiser(net, DenseEvaluator(of_classes, [64]))
    of_classes.pretrained_cfg["label_names"] = names
    Localiser(net, DenseEvaluator(of_classes, [64]))


def test_more_that_a_localiser_cannot_take() -> None:
    """A copy, a net without a last layer; NumPy's integers are fine."""
    good = DenseEvaluator(classifier(), [64])
    with pytest.raises(ValueError, match="give the net that it was made from"):
        Localiser(vgg_zoo.fast_inference(box_net()), good)
    with pytest.raises(ValueError, match="no last layer"):
        Localiser(timm.create_model("vgg_a_box", **{**SMALLEST, "num_classes": 0}), good)
    assert Localiser(box_net(), good, np.array([64, 80])).scales_of_nets == [(64, 80)]
