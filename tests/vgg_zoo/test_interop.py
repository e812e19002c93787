"""Libraries that take a net apart, transform or compile it find in it what they find in timm's own."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.ao.quantization as quantization
import torch.nn.functional as F
import torch_pruning
from torch import nn
from torch.nn.utils import prune

import vgg_zoo
from tests.helpers import BOX_NETS, NETS, small
from vgg_zoo.model import fc_over_map
from vgg_zoo.weights.state_dict import from_torchvision

X = torch.randn(3, 3, 96, 75, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*NETS, BOX_NETS[0]])
def test_no_images_give_no_rows(name: str) -> None:
    """As of timm: (0, classes), of the net, its map and its fast copy."""
    net = small(name)
    for each in (net, vgg_zoo.fast_inference(net)):
        assert each(X[:0]).shape == (0, net(X).shape[1])
        assert each.class_score_map(X[:0]).shape == (0, *net.class_score_map(X).shape[1:])
        assert each.forward_features(X[:0]).shape == (0, *net.forward_features(X).shape[1:])


def test_gradients_of_single_images() -> None:
    """By torch.func's vmap, against one backward pass for each image."""
    net, labels = small(), torch.tensor([0, 1, 2])
    weights = {name: weight.detach() for name, weight in net.named_parameters()}

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(torch.func.functional_call(net, weights, (image[None],)), label[None])

    found = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(weights, X, labels)
    for place in range(3):
        net.zero_grad()
        F.cross_entropy(net(X[place : place + 1]), labels[place : place + 1]).backward()
        for name, weight in net.named_parameters():
            assert weight.grad is not None
            torch.testing.assert_close(found[name][place], weight.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("place", ["trunk", "fc1"])
def test_channels_can_be_pruned(place: str) -> None:
    """Torch-Pruning finds every layer that depends on a channel; the narrower net runs as before."""
    net: Any = small()
    graph = torch_pruning.DependencyGraph().build_dependency(net, X)
    layer = net.pre_logits.fc1
    if place == "trunk":
        layer = [module for module in net.features if isinstance(module, nn.Conv2d)][-1]
    expected = copy.deepcopy(net)
    with torch.no_grad():  # a channel of zeros is one that is not there
        target = dict(expected.named_modules())[next(name for name, each in net.named_modules() if each is layer)]
        target.weight[[0, 5]] = 0
        target.bias[[0, 5]] = 0
    graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, idxs=[0, 5]).prune()
    torch.testing.assert_close(net(X), expected(X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # PyTorch moves it to torchao
def test_a_net_can_be_quantised() -> None:
    """Eager static quantisation swaps every conv and FC layer; the outputs stay near."""
    torch.manual_seed(0)
    for model in (small(), small("vgg_b_shallow")):
        net: Any = quantization.QuantWrapper(copy.deepcopy(model)).eval()
        net.qconfig = quantization.get_default_qconfig("x86")
        prepared = quantization.prepare(net)
        prepared(X)
        quantised = quantization.convert(prepared)
        assert type(quantised.module.pre_logits.fc1).__module__.startswith("torch.ao.nn.quantized")
        error = (quantised(X) - model(X)).norm() / model(X).norm()
        assert error < 0.3


def test_hooks_on_fc_layers_fire() -> None:
    """Forward and backward, of one layer or of all modules; the numbers are those of the net without."""
    net, seen = small(), []
    expected = net(X)
    for register in (
        net.pre_logits.fc1.register_forward_hook,
        net.pre_logits.fc1.register_forward_pre_hook,
        nn.modules.module.register_module_forward_hook,
    ):
        handle = register(lambda module, *_: seen.append(module))
        torch.testing.assert_close(net(X), expected, rtol=1e-4, atol=1e-5)
        handle.remove()
        assert net.pre_logits.fc1 in seen
        seen.clear()
    net.pre_logits.act2.inplace = False  # PyTorch allows no change in place behind such a hook
    handle = net.pre_logits.fc2.register_full_backward_hook(lambda module, *_: seen.append(module))
    net(X).sum().backward()
    handle.remove()
    assert seen == [net.pre_logits.fc2]


def test_fc_layers_are_plain_convolutions_that_run_as_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an unmodified net, and not if a mask, an adapter or a patch is on the layer."""
    net: Any = small()
    calls: list[int] = []
    monkeypatch.setattr("vgg_zoo.model.fc_over_map", lambda *arguments: calls.append(1) or fc_over_map(*arguments))
    assert type(net.pre_logits.fc1) is nn.Conv2d
    expected = net(X)
    assert len(calls) == 2
    prune.identity(net.pre_logits.fc1, "weight")  # type: ignore[no-untyped-call]
    net.pre_logits.fc2.forward = net.pre_logits.fc2.forward
    torch.testing.assert_close(net(X), expected, rtol=1e-4, atol=1e-5)
    assert len(calls) == 2


GRAPHS: dict[str, Callable[[Any], Any]] = {
    "trace": lambda net: torch.jit.trace(net, X),
    "script": torch.jit.script,
    "export": lambda net: torch.export.export(net, (X,)),
    "ONNX": lambda net: torch.onnx.export(net, (X,), io.BytesIO(), dynamo=False),
    "fx": torch.fx.symbolic_trace,
}


@pytest.mark.parametrize("way", GRAPHS)
@pytest.mark.filterwarnings("ignore")
def test_a_fast_copy_gives_no_graph_and_says_so(way: str) -> None:
    """Its kernels are this machine's; the net itself does."""
    net = small()
    with pytest.raises(RuntimeError, match=r"cannot be traced, scripted or exported.*use the model"):
        GRAPHS[way](vgg_zoo.fast_inference(net))
    GRAPHS[way](net)


def test_torch_compile_leaves_a_fast_copy_as_it_is() -> None:
    """Any number of sizes, without a compilation for each."""
    fast = vgg_zoo.fast_inference(small())
    compiled = torch.compile(fast, backend="eager")
    for side in range(64, 64 + 12 * 32, 32):
        images = torch.randn(1, 3, side, 64)
        assert torch.equal(compiled(images), fast(images))


def test_timms_names_and_torchvisions_weights_fit_as_before() -> None:
    """The keys and shapes of the FC layers are timm's."""
    net = timm.create_model("vgg_a", device="meta")
    theirs = timm.create_model("vgg11", device="meta")
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}
    assert from_torchvision({}, net) == {}
