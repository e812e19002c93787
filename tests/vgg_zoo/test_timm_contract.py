"""What a first-class timm model must satisfy; `make test-timm` runs timm's own suite besides."""

import copy
import warnings
from typing import Any

import pytest
import timm
import torch
from packaging.version import Version
from timm.layers import apply_test_time_pool
from timm.models import create_feature_extractor, group_parameters
from torch import nn

from tests.helpers import NETS, SMALL, small

IMAGES = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))


def test_dropout_is_a_half_by_default() -> None:
    """After both hidden FC layers; timm's own default is 0."""
    model = timm.create_model("vgg_d", device="meta")
    assert (model.pre_logits.drop.p, model.head.drop.p, model.drop_rate) == (0.5, 0.5, 0.5)
    assert small(drop_rate=0.1).head.drop.p == 0.1


@pytest.mark.parametrize("name", NETS)
def test_an_unknown_argument_is_a_type_error(name: str) -> None:
    """It is not swallowed."""
    with pytest.raises(TypeError, match="not_an_argument"):
        timm.create_model(name, device="meta", not_an_argument=1)


@pytest.mark.parametrize("name", NETS)
def test_six_feature_taps(name: str) -> None:
    """Reductions 1 to 32, the same maps by every one of timm's extractors that serves its own VGG."""
    torch.manual_seed(0)
    reference = None
    state_dict = small(name).state_dict()
    for kind in ("list", "dict", "hook", "fx", "getter"):
        # features_only leaves the head out, so the weights go in through timm's own loading.
        overlay = {"state_dict": dict(state_dict), "num_classes": 5}
        extractor = timm.create_model(
            name, features_only=True, feature_cls=kind, pretrained=True, pretrained_cfg_overlay=overlay, **SMALL
        ).eval()
        assert extractor.feature_info.reduction() == [1, 2, 4, 8, 16, 32]
        with torch.inference_mode():
            maps = extractor(IMAGES)
        maps = list(maps.values()) if isinstance(maps, dict) else maps
        assert [m.shape[1] for m in maps] == extractor.feature_info.channels()
        assert [m.shape[-1] for m in maps] == [128, 64, 32, 16, 8, 4]
        reference = reference or maps
        for one, other in zip(maps, reference, strict=True):
            torch.testing.assert_close(one, other)


def test_intermediates_can_be_chosen() -> None:
    """By index from either end, the last so many, and without running further than needed."""
    model = small()
    with torch.inference_mode():
        final, taps = model.forward_intermediates(IMAGES)
        assert torch.equal(final, model.forward_features(IMAGES))
        assert torch.equal(final, taps[5])
        for indices, expected in (([0, 3], [0, 3]), ([-1, 1], [5, 1]), (2, [4, 5])):
            chosen = model.forward_intermediates(IMAGES, indices, intermediates_only=True)
            assert all(torch.equal(one, taps[i]) for one, i in zip(chosen, expected, strict=True))
        stopped, _ = model.forward_intermediates(IMAGES, [1], stop_early=True)
        assert torch.equal(stopped, taps[1])


@pytest.mark.parametrize("indices", [[6], [-7], 0, []])
def test_a_tap_that_is_not_there_is_refused(indices: Any) -> None:
    """The message names the taps."""
    with pytest.raises(ValueError, match="choose among taps 0 to 5"):
        small().forward_intermediates(IMAGES, indices)


@pytest.mark.parametrize("tap", range(6))
def test_pruning_keeps_the_taps(tap: int) -> None:
    """A trunk cut behind a tap ends with it."""
    model = small()
    pruned = copy.deepcopy(model)
    pruned.prune_intermediate_layers([tap])
    with torch.inference_mode():
        expected = model.forward_intermediates(IMAGES, [tap], intermediates_only=True)[0]
        assert torch.equal(pruned.forward_features(IMAGES), expected)
        assert torch.equal(pruned.forward_intermediates(IMAGES, [tap], intermediates_only=True)[0], expected)


def test_the_classifier_can_be_replaced() -> None:
    """Pooling, device, dtype and mode stay; 0 classes give the averaged activation."""
    model = small(global_pool="max").to(torch.float64).train()
    model.reset_classifier(9)
    assert model.get_classifier() is model.head.fc
    assert (model.head.fc.out_features, model.head.fc.weight.dtype, model.head.fc.training) == (9, torch.float64, True)
    assert model.head.global_pool.pool_type == "max"
    model.reset_classifier(0)
    assert model.eval()(IMAGES.double()).shape == (2, 24)


def test_parameter_groups_follow_depth() -> None:
    """Layer decay finds the stem first and the head last."""
    model = small()
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    assert groups["features.0.weight"] == 0
    assert groups["features.2.weight"] > 0
    assert groups["head.fc.weight"] == max(groups.values()) > groups["features.28.weight"]


def saved_bytes(model: nn.Module, images: torch.Tensor) -> int:
    """Bytes of activations that a forward pass keeps for the backward pass."""
    total = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return total


@pytest.mark.parametrize("name", NETS)
def test_gradient_checkpointing_keeps_less_and_changes_nothing(name: str) -> None:
    """The same outputs and gradients, from fewer kept bytes; timm's VGG refuses it."""
    model = small(name, drop_rate=0.0).train()
    results = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        output = model(IMAGES)
        output.square().sum().backward()
        results.append((output, [p.grad.clone() for p in model.parameters()], saved_bytes(model, IMAGES)))
    (plain, plain_grads, plain_bytes), (kept, grads, fewer_bytes) = results
    torch.testing.assert_close(kept, plain)
    for one, other in zip(grads, plain_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert fewer_bytes < 0.6 * plain_bytes


@pytest.mark.parametrize("name", NETS)
def test_the_net_can_be_traced_scripted_and_exported(name: str) -> None:
    """torch.fx, timm's extractor, TorchScript by both ways, and torch.export, each at another size than traced."""
    model = small(name)
    other = torch.randn(3, 3, 160, 96)
    with torch.inference_mode():
        expected = model(other)
        torch.testing.assert_close(torch.fx.symbolic_trace(model)(other), expected)
        torch.testing.assert_close(create_feature_extractor(model, ["head"])(other)["head"], expected)
        torch.testing.assert_close(torch.jit.script(model)(other), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Python conditions are frozen; the graph must hold all the same
            traced = torch.jit.trace(model, IMAGES)
        torch.testing.assert_close(traced(other), expected)


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.13"),
    reason="torch.export before 2.13 derives from five max-pools that height and width must be divisible by 32",
)
@pytest.mark.parametrize("name", ["vgg_a_lrn", "vgg_c"])
def test_the_net_can_be_exported_for_every_size(name: str) -> None:
    """Batch, height and width are free; as with timm's VGG, more than one cell, and no image below it."""
    model = small(name)
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=96), 3: torch.export.Dim("width", min=96)}
    program = torch.export.export(model, (torch.randn(2, 3, 128, 160),), dynamic_shapes=(sizes,))
    for shape in ((3, 3, 96, 200), (2, 3, 224, 97)):
        images = torch.randn(*shape)
        with torch.no_grad():
            torch.testing.assert_close(program.module()(images), model(images))


def test_a_training_crop_can_be_exported() -> None:
    """One cell, with fixed sizes."""
    model, images = small(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(model, (images,)).module()(images), model(images))


@pytest.mark.slow
def test_the_net_can_be_compiled() -> None:
    """torch.compile, whole graph, at two sizes."""
    model = small()
    compiled = torch.compile(model, fullgraph=True)
    for size in ((64, 64), (96, 128)):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_device_and_dtype_are_honoured(name: str) -> None:
    """Nothing is allocated on meta, and every tensor has the dtype asked for."""
    model = timm.create_model(name, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.bfloat16)}
    assert model(torch.empty(2, 3, 224, 224, device="meta", dtype=torch.bfloat16)).shape == (2, 1000)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_and_classes(channels: int) -> None:
    """Grey or four-channel images, any number of classes, none at all."""
    images = torch.randn(2, channels, 64, 64)
    assert small(in_chans=channels, num_classes=3)(images).shape == (2, 3)
    assert small(in_chans=channels, num_classes=0)(images).shape == (2, 24)


def test_no_classes_give_the_averaged_activation_of_the_net() -> None:
    """The 4096-D descriptor of Appendix B: at 224 pixels and above."""
    model = timm.create_model("vgg_a", num_classes=0, device="meta")
    for size in (224, 320):
        assert model(torch.empty(1, 3, size, size, device="meta")).shape == (1, 4096)


@pytest.mark.slow
def test_timms_test_time_pooling_leaves_the_net_alone() -> None:
    """`validate.py --test-pool` at a larger size: timm's VGG fails there, ours averages the class score map already."""
    model = timm.create_model("vgg_a").eval()
    images = torch.randn(1, 3, 320, 320)
    with torch.inference_mode():
        expected = model(images)
        pooled, wrapped = apply_test_time_pool(model, {"input_size": (3, 320, 320)})
        assert pooled is model
        assert not wrapped
        assert torch.equal(pooled(images), expected)
    with pytest.raises(RuntimeError):
        apply_test_time_pool(timm.create_model("vgg11"), {"input_size": (3, 320, 320)})


def test_default_cfg_reads_as_pretrained_cfg() -> None:
    """timm's older name holds the same settings."""
    model = timm.create_model("vgg_a", device="meta")
    assert dict(model.default_cfg) == model.pretrained_cfg
    model.default_cfg = {"input_size": (3, 1, 1)}
    assert model.pretrained_cfg == {"input_size": (3, 1, 1)}


def test_timms_isinstance_lists_know_the_nets() -> None:
    """They are timm's VGG."""
    assert isinstance(small(), timm.models.VGG)
