"""`fast_inference` against the nets that it copies."""

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from tests.helpers import NETS, small
from vgg_zoo import DenseEvaluator, fast_inference
from vgg_zoo.dense import score_maps
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast.copies import net_for
from vgg_zoo.images.inputs import net_input
from vgg_zoo.layers import layer_maps, layers_of

KERNELS = [
    "torch",
    pytest.param("compiled", marks=pytest.mark.skipif(compiled.kernels() is None, reason=str(compiled.why_not()))),
]
AVAILABLE = ["torch", *(["compiled"] if compiled.kernels() is not None else [])]
PHOTO = load_sample_image("china.jpg")


def net(name: str = "vgg_d", **changes: Any) -> Any:
    """Half as wide as the paper's: wide enough for Winograd, with a small head."""
    torch.manual_seed(0)
    return small(name, **{"width_multiplier": 0.5, **changes})


def batch_norms_moved(model: Any) -> Any:
    """Running statistics and factors that are not those of a new net."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                nn.init.normal_(tensor, std=0.1)
            for tensor in (module.running_var, module.weight):
                nn.init.uniform_(tensor, 0.7, 1.5)
    return model


def error(found: Tensor, expected: Tensor) -> float:
    """Relative to the norm."""
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


SMALL = ((1, 224, 224), (2, 97, 161), (1, 163, 64), (5, 40, 33))
DENSE = ((9, 224, 224), (5, 225, 301), (2, 512, 384), (1, 611, 800), (1, 799, 533))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_every_net_of_the_paper_gives_the_same(name: str, kernel: str) -> None:
    """Features, class score map, scores, likeliest class; 33 to 224 pixels, odd, both orientations, 1 to 5 images."""
    model = net(name)
    fast = fast_inference(model, kernel=kernel)
    for batch, height, width in SMALL:
        x = torch.randn(batch, 3, height, width)
        found, expected = fast(x), model(x)
        assert error(found, expected) < 1e-4
        assert torch.equal(found.argmax(1), expected.argmax(1))
        assert error(fast.forward_features(x), model.forward_features(x)) < 1e-4
        assert error(fast.class_score_map(x), model.class_score_map(x)) < 1e-4
    assert fast.kernel == kernel


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_every_net_gives_the_same_class_score_map(name: str) -> None:
    """Up to 800 pixels and nine images, by each kernel; the map is what scores are the mean of."""
    model = net(name)
    copies = [fast_inference(model, kernel=kernel) for kernel in AVAILABLE]
    for batch, height, width in DENSE:
        x = torch.randn(batch, 3, height, width)
        expected = model.class_score_map(x)
        for fast in copies:
            found = fast.class_score_map(x)
            assert error(found, expected) < 1e-4
            assert torch.equal(found.mean((2, 3)).argmax(1), expected.mean((2, 3)).argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg_e", "vgg19_bn", "vgg16"])
@torch.no_grad()
def test_full_size_nets_give_the_same(name: str) -> None:
    """Ours and timm's, on a crop, a batch of nine, and a whole image, by each kernel."""
    torch.manual_seed(0)
    model = batch_norms_moved(timm.create_model(name)).eval()
    copies = [fast_inference(model, kernel=kernel) for kernel in AVAILABLE]
    for shape in ((1, 224, 224), (9, 224, 224), (1, 517, 800)):
        x = torch.randn(shape[0], 3, *shape[1:])
        expected = model(x)
        for fast in copies:
            found = fast(x)
            assert error(found, expected) < 1e-4
            assert torch.equal(found.argmax(1), expected.argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_a_thousand_images_have_the_same_likeliest_class(kernel: str) -> None:
    """Parts of a photo, every one another class or so."""
    model = net("vgg_e", num_classes=50)
    model.head.fc.weight *= 300
    photo = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1).float() / 64 - 2
    crops = torch.stack([photo[:, y : y + 64, x : x + 64] for y in range(0, 350, 14) for x in range(0, 560, 14)])
    assert len(crops) == 1000
    expected = model(crops)
    assert torch.equal(fast_inference(model, kernel=kernel)(crops).argmax(1), expected.argmax(1))
    assert len(expected.argmax(1).unique()) > 3


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_timms_own_nets_are_copied_with_their_batch_norm(kernel: str) -> None:
    """It is folded; the layers keep the paper's names and their maps."""
    torch.manual_seed(0)
    model = batch_norms_moved(timm.create_model("vgg11_bn", num_classes=5)).eval()
    fast, x = fast_inference(model, kernel=kernel), torch.randn(1, 3, 224, 255)
    assert error(fast(x), model(x)) < 1e-4
    assert list(layers_of(fast)) == list(layers_of(model))
    layers = list(layers_of(model).values())
    for relu in (True, False):
        maps = zip(layer_maps(fast, x, layers, relu).values(), layer_maps(model, x, layers, relu).values(), strict=True)
        assert all(error(found, expected) < 1e-4 for found, expected in maps)


@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_a_net_in_nhwc_gives_the_same(kernel: str) -> None:
    """Weights and images: large enough that memory of an ordered copy is given back to the system once it is freed."""
    model = net("vgg_b", width_multiplier=1.0).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 97, 64).contiguous(memory_format=torch.channels_last)
    assert error(fast_inference(model, kernel=kernel)(x), model(x)) < 1e-4


@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_maps_around_the_normalisation_are_the_nets(kernel: str) -> None:
    """It works in place, but not on a map that somebody keeps: conv1_1's, and one that the caller gives."""
    model = net("vgg_a_lrn")
    fast, x = fast_inference(model, kernel=kernel), torch.randn(2, 3, 65, 97)
    layers = list(layers_of(model).values())
    maps = zip(layer_maps(fast, x, layers).values(), layer_maps(model, x, layers).values(), strict=True)
    assert all(error(found, expected) < 1e-4 for found, expected in maps)
    for given in (100 * torch.rand(2, 32, 5, 7), 100 * torch.rand(2, 5, 7, 32).permute(0, 3, 1, 2)):
        before = given.clone()
        assert error(fast.features[2](given), model.features[2](given)) < 1e-5
        assert torch.equal(given, before)


@pytest.mark.slow
@pytest.mark.parametrize("ceil_mode", [False, True])
@torch.no_grad()
def test_an_evaluator_uses_a_copy(ceil_mode: bool) -> None:
    """Of its net, on a CPU; in tiles, in batches and in crops; `exact` turns it off."""
    model = net("vgg_d")
    model.head.fc.weight *= 30
    images = [PHOTO[:80, :64], PHOTO[:64, :111], PHOTO[100:180, :64]]
    for settings in ({"protocol": "multi_crop_and_dense"}, {"most_pixels": 64 * 64}):
        found = DenseEvaluator(model, (64, 91), ceil_mode=ceil_mode, **settings)
        exact = DenseEvaluator(model, (64, 91), ceil_mode=ceil_mode, exact=True, **settings)
        torch.testing.assert_close(found(images), exact(images), rtol=1e-3, atol=1e-5)
        assert (found.arithmetic, exact.arithmetic) == ("winograd", "exact")
    assert net_for(model) is net_for(model)
    assert net_for(model, exact=True) is model


@pytest.mark.parametrize("layer", ["conv1_1", "conv3_3", "pool5", "fc6", "fc7"])
def test_a_descriptor_uses_a_copy(layer: str) -> None:
    """And gives the net's own, whatever the layer, in one piece and in tiles."""
    model, pixels = net("vgg_d"), [[torch.from_numpy(PHOTO[:150, :211].copy()).permute(2, 0, 1)]]
    for most_pixels in (2**20, 64 * 64):
        found = DenseDescriptor(model, layer, (150,), most_pixels=most_pixels)
        exact = DenseDescriptor(model, layer, (150,), most_pixels=most_pixels, exact=True)
        assert error(found.of_rescaled(pixels), exact.of_rescaled(pixels)) < 1e-4
        assert (found.arithmetic, exact.arithmetic) == ("winograd", "exact")


@pytest.mark.parametrize("name", ["vgg_a_lrn", "vgg_d"])
def test_a_posteriors_bits_do_not_depend_on_the_batch(name: str) -> None:
    """The rule looks at the map alone, and the kernels sum in an order of their own."""
    if compiled.kernels() is None:
        pytest.skip("PyTorch's products round as they like")
    fast, x = fast_inference(net(name, head_hidden_size=32)), torch.randn(6, 3, 112, 112)
    assert torch.equal(fast(x), torch.cat([fast(image[None]) for image in x]))


def train_a_step(model: Any) -> None:
    """Of SGD, which changes weights in place."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()


def change_through_data(model: Any) -> None:
    """What PyTorch does not count."""
    model.features[2].weight.data.mul_(1.5)


def load_others(model: Any) -> None:
    """A checkpoint."""
    model.load_state_dict({key: value * 1.5 for key, value in model.state_dict().items()})


def replace_a_layer(model: Any) -> None:
    """By another one."""
    model.head.fc = nn.Linear(24, 5)


@pytest.mark.parametrize("change", [train_a_step, change_through_data, load_others, replace_a_layer])
def test_no_evaluator_is_stale(change: Any) -> None:
    """Whatever changes the model, the next scores are those of its weights."""
    model = net("vgg_d")
    evaluator = DenseEvaluator(model, (64,))
    before = evaluator([PHOTO])
    change(model)
    model.eval()
    after, expected = evaluator([PHOTO]), DenseEvaluator(model, (64,), exact=True)([PHOTO])
    torch.testing.assert_close(after, expected, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(before, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("change", [train_a_step, change_through_data, load_others])
def test_a_copy_of_a_changed_model_refuses_to_run(change: Any) -> None:
    """It shares FC weights, and has the trunk's as they were; a deep copy's is independent."""
    model, x = net("vgg_d"), torch.randn(1, 3, 64, 64)
    fast, independent = fast_inference(model), fast_inference(copy.deepcopy(model))
    before = fast(x)
    change(model)
    with pytest.raises(RuntimeError, match=r"have changed since fast_inference.*deepcopy"):
        fast(x)
    assert torch.equal(independent(x), before)


@torch.no_grad()
def test_exact_is_the_model_itself() -> None:
    """To the last bit, where the copy differs by rounding."""
    model, pixels = net("vgg_d"), torch.from_numpy(PHOTO[:128, :160].copy()).permute(2, 0, 1)[None]
    expected = model.class_score_map(net_input(model, pixels))
    assert torch.equal(score_maps(model, pixels, False, 2**20, exact=True), expected)
    assert not torch.equal(score_maps(model, pixels, False, 2**20), expected)


def test_autocast_uses_the_model() -> None:
    """Whose arithmetic the caller chose; outside of it the copy is back."""
    model = net("vgg_d")
    with torch.autocast("cpu", torch.bfloat16):
        assert net_for(model) is model
    assert net_for(model) is not model


def test_fc_weights_are_shared() -> None:
    """Net E's are 495 MB."""
    model = net()
    fast: Any = fast_inference(model)
    for part in ("pre_logits.fc1.weight", "pre_logits.fc2.weight", "head.fc.weight"):
        assert fast.get_parameter(part).data_ptr() == model.get_parameter(part).data_ptr()
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_it_takes_no_gradients() -> None:
    """Nor trains, moves, or changes its classifier; each error says what to do instead."""
    model = net().train()
    fast = fast_inference(model)
    assert model.training
    assert not fast.training
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"no gradients.*images.detach\(\)"):
        fast(x)
    assert not fast(x.detach()).requires_grad
    with pytest.raises(RuntimeError, match="train the model"):
        fast.train()
    with pytest.raises(RuntimeError, match="move the model"):
        fast.double()
    with pytest.raises(RuntimeError, match="change the model"):
        fast.reset_classifier(3)
    assert fast.eval() is fast
    assert fast.to("cpu", torch.float32) is fast


def test_what_does_not_fit_is_refused_by_pytorch() -> None:
    """Other channels, other types, no batch: a kernel would read outside its memory."""
    fast = fast_inference(net())
    for x in (torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.float64), torch.zeros(3, 64, 64)):
        with pytest.raises(RuntimeError):
            fast(x)
    with pytest.raises(RuntimeError):
        fast.pre_logits(torch.zeros(1, 16, 2, 2))
    with pytest.raises(RuntimeError):
        fast.head.fc(torch.zeros(1, 8))


def test_what_cannot_be_copied_is_named() -> None:
    """No VGG, an unknown kernel, hooks, strange layers; an evaluator then uses the net itself."""
    with pytest.raises(ValueError, match="Linear"):
        fast_inference(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"'fast'; choose from auto, compiled, torch"):
        fast_inference(net(), kernel="fast")
    with pytest.raises(ValueError, match="smaller than one cell"):
        fast_inference(net())(torch.zeros(1, 3, 31, 64))
    hooked, strange = net(), net()
    hooked.features[0].register_forward_hook(lambda *_: None)
    strange.features[0] = nn.utils.parametrizations.weight_norm(strange.features[0])
    for model, message in ((hooked, r"features.0 has hooks"), (strange, r"features.0 is a Parametrized")):
        with pytest.raises(ValueError, match=message):
            fast_inference(model)
        assert net_for(model) is model
        assert DenseEvaluator(model, (64,)).arithmetic == "exact"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_other_types_are_computed_directly(dtype: torch.dtype) -> None:
    """With the net's own bits, or in bfloat16 nearly; evaluators use the net."""
    model = net("vgg_a_lrn" if dtype == torch.float64 else "vgg_d").to(dtype)
    fast, x = fast_inference(model), torch.randn(1, 3, 97, 64, dtype=dtype)
    assert fast.kernel == "torch"
    assert str(dtype) in str(fast.why_not_compiled)
    torch.testing.assert_close(fast(x), model(x))
    assert {layer.arithmetic for layer in fast.plan(97, 64).layers} == {"direct", "product"}
    assert net_for(model) is model
    with pytest.raises(RuntimeError, match="is not available"):
        fast_inference(model, kernel="compiled")


def test_without_a_compiler_it_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy says why."""
    monkeypatch.setattr(compiled, "_found", ["there is no compiler 'g++'"])
    model, x = net(), torch.randn(1, 3, 128, 128)
    fast = fast_inference(model)
    assert (fast.kernel, fast.why_not_compiled) == ("torch", "there is no compiler 'g++'")
    with torch.no_grad():
        assert error(fast(x), model(x)) < 1e-4
    with pytest.raises(RuntimeError, match="there is no compiler"):
        fast_inference(model, kernel="compiled")


@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_pytorchs_defaults_change_nothing(kernel: str) -> None:
    """Buffers are float32 on the CPU, whatever a user has set."""
    model, x = net("vgg_a", width_multiplier=1.0), torch.randn(1, 3, 224, 224)
    expected = model(x)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            compiled.WORKSPACE.__init__()  # type: ignore[misc]
            assert error(fast_inference(model, kernel=kernel)(x), expected) < 1e-4
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_plan_is_a_table() -> None:
    """A line for each layer, with its reason."""
    fast = fast_inference(timm.create_model("vgg_d", width_multiplier=0.5, head_hidden_size=16), kernel="torch")
    plan = fast.plan(384, 512)
    assert [layer.name for layer in plan.layers[:3]] == ["conv1_1", "conv1_2", "conv2_1"]
    assert [layer.map for layer in plan.layers[-2:]] == ["16×6×10", "16×6×10"]
    assert len(str(plan).splitlines()) == 2 + 13 + 2
    assert {layer.arithmetic for layer in plan.layers} == {"direct", "winograd", "product"}
    with pytest.raises(ValueError, match="smaller than one cell"):
        fast.plan(31, 99)


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
def test_fc6_over_a_large_map_is_the_nets() -> None:
    """By F(2×2, 7×7), as the plan says; an image's scores do not depend on the others of its batch."""
    torch.manual_seed(0)
    model: Any = timm.create_model("vgg_d", width_multiplier=0.5, head_hidden_size=64).eval()
    fast, images = fast_inference(model), torch.randn(2, 3, 384, 448)
    *_, fc6, fc7 = fast.plan(384, 448).layers
    assert (fc6.arithmetic, fc7.arithmetic) == ("winograd", "product")
    assert fc6.weights == model.pre_logits.fc1.weight.numel()
    assert fc6.multiplications == pytest.approx(fc6.weights * 64 / 49 * 3 * 4 / 1e9)
    with torch.no_grad():
        found = fast.class_score_map(images)
        assert error(found, model.class_score_map(images)) < 1e-5
    assert torch.equal(fast.class_score_map(images[1:]), found[1:])


def test_threads_may_share_a_copy() -> None:
    """Their buffers are their own."""
    fast, images = fast_inference(net()), [torch.randn(1, 3, 96 + 32 * place, 128) for place in range(4)]
    expected = [fast(image) for image in images]
    wrong: list[int] = []

    def work(place: int) -> None:
        found = [fast(images[place]) for _ in range(10)]
        wrong.extend(place for scores in found if not torch.allclose(scores, expected[place], rtol=1e-3, atol=1e-6))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@torch.no_grad()
def test_a_copy_can_be_copied_and_pickled(tmp_path: Path) -> None:
    """What comes back has weights of its own."""
    model, x = net(), torch.randn(1, 3, 64, 64)
    fast = fast_inference(model)
    expected = fast(x)
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):  # noqa: S301 (our own)
        assert torch.equal(other(x), expected)
    nn.init.zeros_(model.head.fc.weight)
    assert np.isfinite(expected.numpy()).all()


@torch.no_grad()
def test_outputs_are_the_callers() -> None:
    """No later call changes them, and images stay as they are."""
    fast, x = fast_inference(net()), torch.randn(1, 3, 96, 96)
    before, features, scores = x.clone(), fast.forward_features(x), fast.class_score_map(x)
    kept = features.clone(), scores.clone()
    fast(torch.randn(2, 3, 128, 128))
    taps = fast.forward_intermediates(x, intermediates_only=True)
    copies = [tap.clone() for tap in taps]
    fast(torch.randn(2, 3, 128, 128))
    assert torch.equal(features, kept[0])
    assert torch.equal(scores, kept[1])
    assert torch.equal(x, before)
    assert all(torch.equal(tap, kept_tap) for tap, kept_tap in zip(taps, copies, strict=True))
    assert features.is_contiguous()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pickle_of_another_machine_takes_this_ones_kernel(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the weights depends on the kernel: weights that were ordered elsewhere are not read here."""
    fast = fast_inference(net(), kernel=kernel)
    content, x = pickle.dumps(fast), torch.randn(1, 3, 96, 96)
    expected = fast(x)
    monkeypatch.setattr(compiled, "_found", ["no compiler here"])
    again = pickle.loads(content)  # noqa: S301 (ours)
    assert again.kernel == "torch"
    torch.testing.assert_close(again(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@torch.no_grad()
def test_nan_stays_nan(kernel: str) -> None:
    """In an image, it reaches the scores as it does in the model; in a layer, it does not stop the others."""
    model, x = net(), torch.randn(1, 3, 96, 96)
    x[0, 0, 40, 40] = torch.nan
    assert fast_inference(model, kernel=kernel)(x).isnan().all()
    model.head.fc.weight.fill_(torch.nan)
    fast, good = fast_inference(model, kernel=kernel), torch.randn(1, 3, 96, 96)
    assert error(fast.forward_features(good), model.forward_features(good)) < 1e-4
    assert fast(good).isnan().all()


@pytest.mark.slow
def test_batch_norm_without_statistics_is_refused() -> None:
    """It cannot be folded, and an image's scores would depend on those beside it."""
    model: Any = timm.create_model("vgg11_bn", num_classes=3)
    for module in list(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
    for make in (fast_inference, DenseEvaluator):
        with pytest.raises(ValueError, match=r"BatchNorm2d in its trunk .* batch norm with running statistics"):
            make(model)


def test_a_copy_of_a_net_that_predicts_boxes_does_not_classify() -> None:
    """Its kind is recognised like that of the net itself."""
    model = small("vgg_a_box", regression="scr")
    x = torch.randn(1, 3, 64, 64)
    assert error(fast_inference(model)(x), model(x).detach()) < 1e-4
    with pytest.raises(ValueError, match="predicts boxes and no classes"):
        DenseEvaluator(fast_inference(model), (64,))
