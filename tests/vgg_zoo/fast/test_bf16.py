"""`fast_inference(model, precision="bf16")` against the net in float32: with AMX, without it, and by PyTorch.

Where the CPU has no AMX, oneDNN computes the convolutions of that way, too, by AVX512-BF16.
"""

import copy
import gc
import pickle
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from tests.helpers import NETS, small
from vgg_zoo import DenseEvaluator, fast_inference
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.fast import bf16
from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast.copies import net_for
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.layers import layer_maps, layers_of

pytestmark = pytest.mark.skipif(bf16_of_cpu() is None, reason="the CPU has neither AMX nor AVX512-BF16")
PHOTO = load_sample_image("china.jpg")
WAYS = ("amx", "amx, oneDNN", "avx512", "torch", "no packed weights")
SIZES = ((2, 224, 224), (2, 97, 161), (1, 163, 64), (3, 40, 33), (1, 300, 410))


def net(name: str = "vgg_d", **changes: Any) -> Any:
    """Half as wide as the paper's, with a head that no kernel's width divides; biases that are not 0."""
    torch.manual_seed(0)
    model = small(name, **{"width_multiplier": 0.5, "num_classes": 20, **changes})
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.bias, std=0.1)
    return model


@pytest.fixture(params=WAYS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Sets the way that layers are computed, and gives the kernel to ask for."""
    if request.param in ("amx", "amx, oneDNN", "no packed weights"):
        monkeypatch.setattr(bf16, "bf16_of_cpu", lambda: "amx")
        if request.param != "amx":
            monkeypatch.setattr(bf16, "_has_amx", lambda kernel: False)
    elif request.param == "avx512":
        monkeypatch.setattr(bf16, "bf16_of_cpu", lambda: "avx512")
    if request.param == "no packed weights":
        monkeypatch.setattr(bf16, "_packing", lambda: None)
    return "torch" if request.param == "torch" else "auto"


def error(found: Tensor, expected: Tensor) -> float:
    """Relative to the norm."""
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_every_net_of_the_paper_nearly_gives_the_same(name: str, kernel: str) -> None:
    """Features, class score map, scores; the likeliest class wherever it leads by more than the bound."""
    model = net(name)
    fast = fast_inference(model, kernel=kernel, precision="bf16")
    for batch, height, width in SIZES:
        x = torch.randn(batch, 3, height, width)
        found, expected = fast(x), model(x)
        assert error(found, expected) < 2e-2
        best, second = expected.topk(2).values.T
        clear = best - second > 2 * (found - expected).abs().amax(1)
        assert torch.equal(found.argmax(1)[clear], expected.argmax(1)[clear])
        assert error(fast.forward_features(x), model.forward_features(x)) < 2e-2
        assert error(fast.class_score_map(x), model.class_score_map(x)) < 2e-2


@torch.no_grad()
def test_an_images_bits_do_not_depend_on_its_batch(kernel: str) -> None:
    """In few windows and in many. Float32 layers may: of plain PyTorch, and of oneDNN on maps that Winograd leaves."""
    fast = fast_inference(net("vgg_c", head_hidden_size=32), kernel=kernel, precision="bf16")
    if fast.kernel == "torch":
        pytest.skip("PyTorch's product of fc8 rounds as it likes")
    for side in (112, 352) if bf16.bf16_of_cpu() == "avx512" else (64, 112, 352):
        x = torch.randn(5, 3, side, side)
        together = fast(x)
        assert torch.equal(together, torch.cat([fast(image[None]) for image in x]))
        assert torch.equal(together[2:4], fast(x[2:4]))


@torch.no_grad()
def test_an_images_bits_do_not_depend_on_the_threads(kernel: str) -> None:
    """Of the kernels and, on this CPU, of oneDNN."""
    fast = fast_inference(net("vgg_c", head_hidden_size=32), kernel=kernel, precision="bf16")
    threads, x = torch.get_num_threads(), torch.randn(2, 3, 112, 112)
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(fast(x))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@torch.no_grad()
def test_every_layer_has_its_map(kernel: str) -> None:
    """float32 ones, near the net's; A-LRN's, too, and timm's taps."""
    model = net("vgg_a_lrn")
    fast, x = fast_inference(model, kernel=kernel, precision="bf16"), torch.randn(2, 3, 65, 97)
    layers = list(layers_of(model).values())
    for relu in (True, False):
        maps = zip(layer_maps(fast, x, layers, relu).values(), layer_maps(model, x, layers, relu).values(), strict=True)
        assert all(error(found, expected) < 2e-2 for found, expected in maps)
    taps = zip(*(each.forward_intermediates(x, intermediates_only=True) for each in (fast, model)), strict=True)
    assert all(error(found, expected) < 2e-2 for found, expected in taps)


@torch.no_grad()
def test_a_copy_can_be_copied_and_pickled(kernel: str) -> None:
    """Bit-identical, and without any of the model's weights."""
    fast, x = fast_inference(net("vgg_c"), kernel=kernel, precision="bf16"), torch.randn(2, 3, 96, 96)
    expected = fast(x)
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):  # noqa: S301 (our own)
        assert torch.equal(other(x), expected)
        assert other.bf16


def test_a_copy_of_a_changed_model_refuses_to_run(kernel: str) -> None:
    """As one in float32 does, although little of it is shared; and it neither moves nor trains."""
    model = net()
    fast, x = fast_inference(model, kernel=kernel, precision="bf16"), torch.randn(1, 3, 64, 64)
    for move in (fast.double, fast.bfloat16, fast.half):
        with pytest.raises(RuntimeError, match="move the model"):
            move()
    assert fast.float() is fast
    with pytest.raises(RuntimeError, match="train the model"):
        fast.train()
    fast(x)
    model.load_state_dict({key: value * 1.5 for key, value in model.state_dict().items()})
    with pytest.raises(RuntimeError, match=r"have changed since fast_inference"):
        fast(x)


@torch.no_grad()
def test_float32_weights_of_bf16_layers_are_not_kept(kernel: str) -> None:
    """Neither a copy of them nor the model's own; without the model, its copy still runs."""
    model = net()
    fast, x = fast_inference(model, kernel=kernel, precision="bf16"), torch.randn(1, 3, 64, 64)
    expected, fc6 = fast(x), weakref.ref(model.pre_logits.fc1.weight)
    hidden: Any = fast.pre_logits
    assert {layer.weight.dtype for layer in (hidden.fc1, hidden.fc2)} == {torch.bfloat16}
    numbers = model.pre_logits.fc1.weight.numel()
    held = [value for module in fast.modules() for value in (*vars(module).values(), *module._parameters.values())]
    assert [value.dtype for value in held if isinstance(value, Tensor) and value.numel() == numbers] == [torch.bfloat16]
    del model
    gc.collect()
    assert fc6() is None
    assert torch.equal(fast(x), expected)


@pytest.mark.parametrize(("cpu", "of_trunk"), [("amx", {"first", "bf16"}), ("avx512", {"first", "winograd", "direct"})])
def test_the_plan_has_the_rule(cpu: str, of_trunk: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """5 × 5 convolutions and FC layers are bf16 everywhere, net C's 3 × 3 and 1 × 1 ones where there is AMX."""
    if compiled.kernels() is None:
        pytest.skip("no Winograd is faster")
    monkeypatch.setattr(bf16, "bf16_of_cpu", lambda: cpu)
    layers = fast_inference(net("vgg_c"), precision="bf16").plan(256, 256).layers
    assert {layer.arithmetic for layer in layers[:-2]} == of_trunk
    assert layers[0].arithmetic == "first"
    assert {layer.arithmetic for layer in layers[-2:]} == {"bf16"}
    shallow = fast_inference(net("vgg_b_shallow"), precision="bf16").plan(256, 256).layers
    assert {layer.arithmetic for layer in shallow[1:]} == {"bf16"}


@torch.no_grad()
def test_evaluators_and_descriptors_nearly_agree() -> None:
    """With those in float32; under autocast with themselves."""
    model = net()
    model.head.fc.weight *= 30
    images = [PHOTO[:80, :64], PHOTO[:64, :111], PHOTO[100:180, :64]]
    for settings in ({"protocol": "multi_crop_and_dense"}, {"most_pixels": 64 * 64}):
        found, expected = (
            DenseEvaluator(model, (64, 91), precision=precision, **settings) for precision in ("bf16", "fp32")
        )
        torch.testing.assert_close(found(images), expected(images), rtol=0, atol=2e-2)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(found(images), found(images))
            assert (found.arithmetic, expected.arithmetic) == ("bf16", "winograd")
        before = found(images)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(found(images), before)
    for layer in ("pool5", "fc7"):
        rows = [
            ImageDescriptor(model, layer, 64, precision=precision).fit_transform(images) for precision in ("bf16", None)
        ]
        similarity = torch.cosine_similarity(*map(torch.from_numpy, rows))
        assert similarity.min() > 0.999
    assert DenseDescriptor(model, precision="bf16").arithmetic == "bf16"


def test_a_model_has_a_copy_for_each_precision() -> None:
    """Both are made again when its weights change; a copy is itself what an evaluator takes."""
    model = net()
    fast, half = net_for(model), net_for(model, precision="bf16")
    assert (fast.bf16, half.bf16) == (False, True)
    assert (net_for(model, precision="fp32"), net_for(model, precision="bf16")) == (fast, half)
    nn.init.zeros_(model.head.fc.weight)
    assert net_for(model) is not fast
    assert net_for(model, precision="bf16") is not half
    mine = fast_inference(model, precision="bf16")
    assert DenseEvaluator(mine).arithmetic == DenseEvaluator(mine, precision="bf16").arithmetic == "bf16"
    with pytest.raises(ValueError, match=r"has its precision already, and precision='fp32' is another"):
        DenseEvaluator(mine, precision="fp32")


def test_what_has_no_such_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other types, hooks, the exact net, unknown names; a CPU without the arithmetic."""
    model, hooked = net(), net()
    hooked.features[0].register_forward_hook(lambda *_: None)
    for make in (fast_inference, DenseEvaluator, DenseDescriptor):
        made: Any = make
        with pytest.raises(ValueError, match=r"'half'; choose from fp32, bf16"):
            made(model, precision="half")
        for precision in ("fp32", "bf16"):
            with pytest.raises(ValueError, match=r"for nets in float32, and this one is in torch.float64"):
                made(net().double(), precision=precision)
        with pytest.raises(ValueError, match=r"features.0 has hooks"):
            made(hooked, precision="bf16")
        with pytest.raises(ValueError, match=r"is for copies on a CPU, and the net is on meta; use torch.autocast"):
            made(net(device="meta", initialisation="normal"), precision="bf16")
        monkeypatch.setattr(bf16, "bf16_of_cpu", lambda: None)
        with pytest.raises(ValueError, match=r"AMX or AVX512-BF16, and this one has neither; take precision='fp32'"):
            made(model, precision="bf16")
        monkeypatch.undo()
    with pytest.raises(ValueError, match=r"exact runs the net itself"):
        DenseEvaluator(model, exact=True, precision="bf16")


@torch.no_grad()
def test_batch_norm_is_folded_before_it_is_rounded(kernel: str) -> None:
    """Of timm's own nets."""
    torch.manual_seed(0)
    model: Any = timm.create_model("vgg11_bn", num_classes=5).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.7, 1.5)
    x = torch.randn(1, 3, 224, 255)
    assert error(fast_inference(model, kernel=kernel, precision="bf16")(x), model(x)) < 2e-2


@torch.no_grad()
def test_what_does_not_fit_is_refused_by_pytorch(kernel: str) -> None:
    """A kernel would read outside its memory; an empty batch is no error."""
    fast = fast_inference(net(), kernel=kernel, precision="bf16")
    for x in (torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.float64), torch.zeros(3, 64, 64)):
        with pytest.raises(RuntimeError):
            fast(x)
    with pytest.raises(RuntimeError):
        fast.pre_logits(torch.zeros(1, 16, 2, 2))
    assert fast(torch.zeros(0, 3, 64, 64)).shape == (0, 20)


@torch.no_grad()
def test_nan_stays_nan(kernel: str) -> None:
    """From an image to its scores."""
    x = torch.randn(2, 3, 96, 96)
    x[1, 0, 40, 40] = torch.nan
    found = fast_inference(net(), kernel=kernel, precision="bf16")(x)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()


def test_operators_that_are_not_as_they_were_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are PyTorch's own: missing, with other arguments, or of another result."""
    packing = bf16._packing.__wrapped__
    assert packing() is not None
    for other in (None, lambda x: x, lambda x, *others: 2 * torch.nn.functional.conv2d(x, x.new_ones(32, 32, 3, 3))):
        operators = SimpleNamespace(_reorder_convolution_weight=lambda weight, *_: weight, _convolution_pointwise=other)
        if other is None:
            del operators._convolution_pointwise
        monkeypatch.setattr(torch.ops, "mkldnn", operators)
        assert packing() is None
