"""Evaluations leave the caller's net alone: its mode, buffers, pooling and gradients, whatever other threads do."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from timm.models.vgg import VGG
from torch import nn

from tests.helpers import small
from vgg_zoo.descriptors import DenseDescriptor, feature_maps
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import explain
from vgg_zoo.images.inputs import at_scales
from vgg_zoo.inference import inference_view
from vgg_zoo.localisation import Localiser

PHOTO = np.random.default_rng(0).integers(0, 256, (75, 107, 3), dtype=np.uint8)
X = torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(0))
BOX_NET = small("vgg_a_box", head_kernel_size=7).train()


def with_norm() -> Any:
    """A narrow net of timm's with batch norm."""
    net: Any = VGG([4, "M", 8, "M", 8, "M", 8, "M", 8, "M"], num_classes=5, norm_layer=nn.BatchNorm2d)
    net.pretrained_cfg = {**small().pretrained_cfg, "architecture": "vgg11_bn"}
    net.pre_logits.fc1 = nn.Conv2d(8, 24, 7)
    net.pre_logits.fc2 = nn.Conv2d(24, 24, 1)
    net.head.fc = nn.Linear(24, 5)
    return net


USES: dict[str, Callable[[Any], Any]] = {
    "posteriors": lambda net: DenseEvaluator(net, (256,))([PHOTO]),
    "exact posteriors": lambda net: DenseEvaluator(net, (256,), exact=True)([PHOTO]),
    "tiles": lambda net: DenseEvaluator(net, (300,), exact=True, most_pixels=256 * 256)([PHOTO]),
    "class score map": lambda net: DenseEvaluator(net, (256,)).class_score_map(PHOTO, 256),
    "descriptors": lambda net: DenseDescriptor(net, scales=(256,)).of_rescaled([at_scales(PHOTO, (256,))]),
    "feature maps": lambda net: feature_maps(net, X, ["fc7"])["fc7"],
    "explanation": lambda net: explain(PHOTO, net, scales=256).maps[0].posteriors,
    "boxes": lambda net: Localiser(BOX_NET, net, (256,))(PHOTO)[0].box,
}


@pytest.mark.parametrize("make", [partial(small, head_kernel_size=7), with_norm])
@pytest.mark.parametrize("use", USES)
def test_train_mode_changes_nothing_and_stays(use: str, make: Callable[[], Any]) -> None:
    """Dropout, batch norm's statistics, modes of single layers."""
    net = make()
    expected = USES[use](copy.deepcopy(net).eval())
    net.train()
    net.features[0].eval()
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(USES[use](net)), np.asarray(expected))
    assert [module.training for module in net.modules()] == modes
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_net_that_begins_to_train_later_is_still_tested_in_eval_mode() -> None:
    """And one in bfloat16, and under autocast."""
    for dtype, context in ((torch.float32, False), (torch.bfloat16, False), (torch.float32, True)):
        net = small().to(dtype)
        evaluator = DenseEvaluator(net, (64,), exact=True)
        with torch.autocast("cpu", enabled=context):
            expected = evaluator([PHOTO])
            net.train()
            assert torch.equal(evaluator([PHOTO]), expected)
            assert torch.equal(evaluator([PHOTO]), expected)
        assert net.training


@pytest.mark.parametrize("exact", [False, True])
def test_threads_with_other_pooling_do_not_meet(exact: bool) -> None:
    """Floor, ceil and a training thread on one net: each result is that of a thread alone."""
    net = small()
    evaluators = [DenseEvaluator(net, (75,), ceil_mode=ceil, exact=exact) for ceil in (False, True)]
    expected = [evaluator([PHOTO]) for evaluator in evaluators]
    assert not torch.equal(*expected)

    def work(place: int) -> bool:
        net.train(place % 3 == 0)
        return torch.equal(evaluators[place % 2]([PHOTO]), expected[place % 2])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80)))
    assert not any(module.ceil_mode for module in net.features if isinstance(module, nn.MaxPool2d))


def test_hooks_and_what_accelerate_puts_on_modules_run() -> None:
    """The user's hooks see the view's modules; Accelerate's replaced `forward` does not lead back to train mode."""
    net, seen = small().train(), []
    net.features[0].register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    expected = DenseEvaluator(copy.deepcopy(net), (64,), exact=True)([PHOTO])
    add_hook_to_module(net.pre_logits.drop, AlignDevicesHook(execution_device="cpu"))
    assert torch.equal(DenseEvaluator(net, (64,))([PHOTO]), expected)
    assert seen
    assert not any(seen)


def test_gradients_are_of_the_image_alone() -> None:
    """In any thread; the weights' own flags stay."""
    net = small().train()
    image = X.clone().requires_grad_()
    feature_maps(net, image, ["conv2_1"])["conv2_1"].sum().backward()
    assert image.grad is not None
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())


def test_a_view_shares_the_weights() -> None:
    """A change in place in the net also changes its view; nothing is copied."""
    net = small()
    view = inference_view(net, ceil_mode=True)
    assert [weight.data_ptr() for weight in view.parameters()] == [weight.data_ptr() for weight in net.parameters()]
    assert {module.ceil_mode for module in view.features if isinstance(module, nn.MaxPool2d)} == {True}
    assert type(view) is type(net)
