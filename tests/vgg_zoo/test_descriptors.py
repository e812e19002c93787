"""Image descriptors and maps against the paper's words done slowly, one image at a time."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import Normalize

from tests.helpers import small
from tests.vgg_zoo.test_layers import walked
from vgg_zoo.descriptors import COMBINE, L2, DenseDescriptor, feature_maps
from vgg_zoo.images.inputs import at_scales, net_input
from vgg_zoo.images.preprocessing import rescale

PHOTOS = [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
LAYERS = ("conv1_1", "conv3_2", "pool4", "pool5", "fc6", "fc7")


@pytest.fixture(scope="module")
def net() -> Any:
    """A small net D."""
    torch.manual_seed(0)
    return small()


def by_hand(
    net: Any, image: np.ndarray, layer: str, scales: list[int], combine: str, flip: bool, l2: str, ceil: bool = False
) -> np.ndarray:
    """Appendix B for one image, step by step, in double precision."""
    mean, std = (np.array(net.pretrained_cfg[key]).reshape(3, 1, 1) * 255 for key in ("mean", "std"))
    of_scales = []
    for scale in scales:
        pixels = (rescale(image, scale).numpy() - mean) / std
        views = [pixels, pixels[:, :, ::-1]] if flip else [pixels]
        averages = []
        for view in views:
            with torch.no_grad():
                maps = walked(net, torch.from_numpy(view.copy())[None].float(), ceil)
            averages.append(maps[layer][1][0].double().numpy().reshape(maps[layer][1].shape[1], -1).mean(1))
        of_scales.append(sum(averages) / len(averages))
    if l2 == "scale":
        of_scales = [part / np.sqrt((part**2).sum()) for part in of_scales]
    whole = sum(of_scales) / len(of_scales) if combine == "average" else np.concatenate(of_scales)
    return whole / np.sqrt((whole**2).sum()) if l2 == "final" else whole


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("l2", L2)
@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_descriptor_is_the_papers(net: Any, layer: str, combine: str, l2: str, flip: bool) -> None:
    """Every layer, combination, normalisation and flip, on two photos of one shape and two of others."""
    images = [PHOTOS[0][:120, :171], PHOTOS[1][:120, :171], PHOTOS[0][:90, :64], PHOTOS[1][100:300, 100:170]]
    scales = [64, 81]
    descriptor = DenseDescriptor(net, layer, scales, combine, flip, l2)
    found = descriptor.of_rescaled([at_scales(image, scales) for image in images])
    expected = np.stack([by_hand(net, image, layer, scales, combine, flip, l2) for image in images])
    assert found.shape == (4, descriptor.size)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=1e-6)
    if l2 == "final":
        np.testing.assert_allclose((found**2).sum(1).numpy(), 1, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(64, 150),
    width=st.integers(64, 150),
    most=st.sampled_from([64 * 64, 70 * 70, 96 * 96]),
    layer=st.sampled_from(["conv1_1", "conv1_2", "pool1", "conv2_2", "conv4_3", "pool5", "fc6", "fc7"]),
    ceil_mode=st.booleans(),
    name=st.sampled_from(["vgg_a_lrn", "vgg_b_shallow", "vgg_d", "vgg_e"]),
)
def test_tiles_change_nothing(height: int, width: int, most: int, layer: str, ceil_mode: bool, name: str) -> None:
    """An image in tiles of any size has the descriptor of the image in one piece."""
    if (name, layer) in {(net, layer) for net in ("vgg_a_lrn", "vgg_b_shallow") for layer in ("conv1_2", "conv2_2")}:
        layer = "conv2_1"
    if layer == "conv4_3" and name in ("vgg_a_lrn", "vgg_b_shallow"):
        layer = "conv4_1"
    torch.manual_seed(1)
    net = small(name).double()
    pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    whole, tiled = (
        DenseDescriptor(net, layer, (64,), ceil_mode=ceil_mode, most_pixels=limit).of_rescaled([[pixels]])
        for limit in (10**9, most)
    )
    torch.testing.assert_close(tiled, whole, rtol=1e-6, atol=1e-7)


def test_a_tile_does_not_grow_with_the_image(net: Any) -> None:
    """No module of the trunk ever sees more than a tile with its halo, whatever the layer."""
    seen: list[int] = []
    hooks = [module.register_forward_hook(lambda _, x, __: seen.append(x[0].shape[2])) for module in net.features]
    try:
        for layer in ("conv1_2", "conv3_3", "fc7"):
            DenseDescriptor(net, layer, (64,), most_pixels=128 * 128).of_rescaled(
                [[torch.zeros(3, 900, 700, dtype=torch.uint8)]]
            )
    finally:
        for hook in hooks:
            hook.remove()
    assert max(seen) <= 128 + 32 + 2 * 4 * 32  # a leftover of less than 32 pixels belongs to the tile before it


def test_caffes_pooling_is_an_option(net: Any) -> None:
    """It rounds sizes up, and the net pools as before afterwards."""
    image = PHOTOS[0][:75, :107]
    found = DenseDescriptor(net, "pool5", (75,), ceil_mode=True).of_rescaled([at_scales(image, (75,))])
    expected = by_hand(net, image, "pool5", [75], "average", True, "scale", ceil=True)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=2e-4, atol=1e-6)
    floor = DenseDescriptor(net, "pool5", (75,)).of_rescaled([at_scales(image, (75,))])
    assert not torch.allclose(found, floor, atol=1e-4)


def test_what_is_missing_is_a_row_of_nan(net: Any) -> None:
    """And moves no other row."""
    images = [at_scales(PHOTOS[0][:80, :80], (64,)), None, at_scales(PHOTOS[1][:80, :80], (64,))]
    found = DenseDescriptor(net, scales=(64,)).of_rescaled(images)
    assert found.isnan().all(1).tolist() == [False, True, False]
    torch.testing.assert_close(found[2:], DenseDescriptor(net, scales=(64,)).of_rescaled(images[2:]))


def test_a_descriptor_of_zeros_stays(net: Any) -> None:
    """Dead units are no division by zero."""
    dead = small()
    torch.nn.init.constant_(dead.pre_logits.fc2.bias, -1e9)
    found = DenseDescriptor(dead, scales=(64,)).of_rescaled([at_scales(PHOTOS[0], (64,))])
    assert torch.equal(found, torch.zeros(1, 24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "fc8"}, r"no layer 'fc8'; it has conv1_1, conv1_2, .*, fc7"),
        ({"combine": "sum"}, "unknown combine 'sum'; choose from average, stack"),
        ({"l2": "both"}, "unknown l2 'both'; choose from scale, final"),
        ({"scales": ()}, r"at least 64 pixels for fc7 .*; got \(\)"),
        ({"scales": (63,)}, r"at least 64 pixels for fc7 \(layers of the trunk take 32\); got \(63,\)"),
        ({"layer": "pool5", "scales": (31,)}, r"at least 32 pixels for pool5; got \(31,\)"),
        ({"most_pixels": 100}, "most_pixels must be at least 64²"),
    ],
)
def test_wrong_settings_are_refused_with_the_options(net: Any, changes: dict[str, Any], message: str) -> None:
    """Before any image is looked at."""
    with pytest.raises(ValueError, match=message):
        DenseDescriptor(net, **{"scales": (64,), **changes})


def test_what_is_no_vgg_is_refused_and_a_net_without_last_layer_is_not() -> None:
    """The paper drops that layer."""
    with pytest.raises(ValueError, match="a Linear cannot be applied densely"):
        DenseDescriptor(torch.nn.Linear(3, 3))
    assert DenseDescriptor(small(num_classes=0), scales=(64,)).size == 24


def test_maps_are_those_of_the_net_for_floats_and_bytes(net: Any) -> None:
    """Floats in 0–1 and uint8 in 0–255 are the same image; the order is that asked for."""
    pixels = torch.from_numpy(PHOTOS[0][:70, :90].copy()).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    expected = walked(net, (pixels / 255 - mean) / std)
    for relu in (False, True):
        for images in (pixels, pixels / 255):
            maps = feature_maps(net, images, ["fc6", "conv1_2", "pool3"], relu=relu)
            assert list(maps) == ["fc6", "conv1_2", "pool3"]
            for name, found in maps.items():
                assert not found.requires_grad
                torch.testing.assert_close(found, expected[name][relu].detach(), rtol=1e-4, atol=1e-4)


def style_loss(maps: Iterable[torch.Tensor]) -> Any:
    """The mean square of the channels' products, as style transfer has them."""
    return sum(torch.einsum("bchw,bdhw->bcd", x, x).square().mean() for x in maps)


@pytest.mark.parametrize("relu", [False, True])
def test_maps_have_the_images_gradient_and_no_other(relu: bool) -> None:
    """The gradient of a style loss is that of the layers walked by hand; the weights get none."""
    net = small().double()
    images = torch.rand(2, 3, 64, 70, dtype=torch.float64, requires_grad=True)
    maps = feature_maps(net, images, ["conv2_2", "conv4_1"], relu=relu)
    style_loss(maps.values()).backward()
    assert images.grad is not None
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    again = images.detach().clone().requires_grad_()
    mean, std = (again.new_tensor(net.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    expected = walked(net, (again - mean) / std)
    style_loss(expected[name][relu] for name in ("conv2_2", "conv4_1")).backward()
    assert again.grad is not None
    torch.testing.assert_close(images.grad, again.grad)


def test_what_was_frozen_stays_frozen() -> None:
    """And trainable weights stay trainable."""
    net = small()
    net.features[0].weight.requires_grad_(False)
    before = [weight.requires_grad for weight in net.parameters()]
    feature_maps(net, torch.rand(1, 3, 64, 64, requires_grad=True), ["conv2_2"])
    assert [weight.requires_grad for weight in net.parameters()] == before
    assert before.count(False) == 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 64, 64), r"must be \(B, 3, H, W\), floats or uint8; got \(3, 64, 64\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), "torch.int64"),
        (torch.full((1, 3, 64, 64), 255.0), r"floats are RGB in 0–1; got 255 to 255. Say .* input_range=\(0, 255\)"),
        (torch.rand(1, 3, 64, 64) * 2 - 1, r"got -\S* to \S*. Say what they are: .*\(-1, 1\)"),
        (torch.full((1, 3, 64, 64), torch.nan), "got nan to nan"),
        (torch.zeros(1, 3, 20, 64), "the smallest is 32×32"),
        (torch.zeros(1, 64, 64, 3), r"got \(1, 64, 64, 3\) .*; for \(B, H, W, C\) give images.permute\(0, 3, 1, 2\)"),
        (torch.zeros(1, 4, 64, 64), "the fourth channel of RGBA is no colour"),
        (torch.zeros(1, 1, 64, 64), r"grey ones as images.expand\(-1, 3, -1, -1\)"),
        (torch.zeros(0, 3, 64, 64), r"got \(0, 3, 64, 64\)"),
    ],
)
def test_wrong_images_are_refused(net: Any, images: torch.Tensor, message: str) -> None:
    """A float image in 0–255 above all, whose maps would be of an overexposed one."""
    with pytest.raises(ValueError, match=message):
        feature_maps(net, images, ["pool1"])


def test_other_ranges_are_said(net: Any) -> None:
    """LPIPS' [-1, 1], 0–255 as floats, torchvision's normalisation; an optimised image may exceed 0–1 a little."""
    x = torch.rand(2, 3, 64, 75)
    expected = feature_maps(net, x, "conv2_1")["conv2_1"]
    normalised = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(x)
    for images, meaning in ((x * 2 - 1, (-1, 1)), (x * 255, (0, 255)), (normalised, "imagenet"), (x, (0, 1))):
        found = feature_maps(net, images, "conv2_1", input_range=meaning)["conv2_1"]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="got -2"):
        feature_maps(net, normalised, "conv2_1")
    feature_maps(net, x * 1.4 - 0.2, "conv2_1")
    feature_maps(net, x * 9, "conv2_1", input_range=(0, 1))
    bytes_ = (x * 255).to(torch.uint8)
    torch.testing.assert_close(
        feature_maps(net, bytes_, "conv2_1", input_range=(0, 255)), feature_maps(net, bytes_, "conv2_1")
    )
    for wrong in ((1, 0), "lpips", (0, 1, 2)):
        with pytest.raises(ValueError, match=r'input_range must be \(black, white\) or "imagenet"; got'):
            feature_maps(net, x, "conv2_1", input_range=wrong)  # type: ignore[arg-type]


def test_a_net_of_grey_images_takes_grey_and_coloured_ones() -> None:
    """Greys as they are, colours by their brightness, as Pillow computes it; other channels are refused."""
    grey = small(in_chans=1)
    photo = PHOTOS[0][:90, :120]
    brightness = np.asarray(Image.fromarray(photo).convert("L"))
    mean, std = (255 * np.mean(grey.pretrained_cfg[key]) for key in ("mean", "std"))
    taken = net_input(grey, torch.from_numpy(photo.transpose(2, 0, 1).copy())[None]) * std + mean
    assert np.abs(taken[0, 0].numpy() - brightness).max() <= 1.01  # Pillow rounds the three weights
    descriptor, copies = DenseDescriptor(grey, scales=(64,)), np.repeat(brightness[:, :, None], 3, 2)
    assert descriptor.of_rescaled([at_scales(copies, (64,))]).isfinite().all()
    one = torch.from_numpy(brightness.copy())[None, None]
    maps = [feature_maps(grey, x, "conv1_1")["conv1_1"] for x in (one, one.expand(-1, 3, -1, -1), one.float() / 255)]
    torch.testing.assert_close(maps[0], maps[1])
    torch.testing.assert_close(maps[0], maps[2], rtol=1e-4, atol=1e-4)
    expected = F.conv2d((one - mean) / std, grey.features[0].weight, grey.features[0].bias, padding=1).relu()
    torch.testing.assert_close(maps[0], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="the net takes images of 4 channels"):
        DenseDescriptor(small(in_chans=4))


def test_maps_of_no_layer_are_refused(net: Any) -> None:
    """With the layers that there are."""
    with pytest.raises(ValueError, match="no layers; choose from conv1_1, "):
        feature_maps(net, torch.zeros(1, 3, 64, 64), [])
