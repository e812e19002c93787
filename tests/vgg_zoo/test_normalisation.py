"""A-LRN's normalisation beside PyTorch's, and that nothing in the net lacks a deterministic algorithm on CUDA."""

import io
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers import SMALL, recorded, small
from vgg_zoo.normalisation import LocalResponseNormalisation

PAPERS: dict[str, Any] = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}

UNDETERMINED = re.compile(
    "avg_pool3d|adaptive_avg_pool2d_backward|adaptive_avg_pool3d|adaptive_max_pool|fractional_max_pool|max_pool3d|"
    "max_unpool|cumsum|index_add|scatter_add|scatter_reduce|index_put|put_|histc|bincount|kthvalue|median|grid_sampler|"
    "upsample|reflection_pad|replication_pad|nll_loss2d|ctc_loss|embedding_bag"
)
"""How the operators begin that `torch.use_deterministic_algorithms` refuses on CUDA, and those it makes slow."""


@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)),
    neighbours=st.integers(1, 7),
    alpha=st.sampled_from([0.0, 5e-4, 1.0]),
    beta=st.sampled_from([0.5, 0.75]),
    dims=st.integers(3, 5),
    nhwc=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_it_is_pytorchs(
    size: tuple[int, int, int, int], neighbours: int, alpha: float, beta: float, dims: int, nhwc: bool
) -> None:
    """Any number of channels, neighbours and dimensions, in either layout; the output and the gradient."""
    shape = (*size[:2], *(size[2:] * 2)[: dims - 2])
    x = torch.randn(shape, dtype=torch.float64) * 20
    x = x.contiguous(memory_format=torch.channels_last) if nhwc and dims == 4 else x
    results = []
    for kind in (LocalResponseNormalisation, nn.LocalResponseNorm):
        leaf = x.clone().requires_grad_()
        y = kind(neighbours, alpha=alpha, beta=beta, k=2.0)(leaf)
        results.append((y.detach(), *torch.autograd.grad(y, leaf, torch.cos(x))))
    for ours, pytorchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, pytorchs, rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_differences() -> None:
    """First and second derivatives."""
    x = (torch.randn(2, 6, 2, 3, dtype=torch.float64) * 5).requires_grad_()
    norm = LocalResponseNormalisation(5, alpha=0.5, beta=0.75, k=2.0)
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_numbers_are_summed_in_float32(dtype: torch.dtype) -> None:
    """300² does not fit a float16, whose squares would be infinite and the output 0."""
    x = torch.full((1, 8, 2, 2), 300.0, dtype=dtype)
    found = LocalResponseNormalisation(**PAPERS)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, nn.LocalResponseNorm(**PAPERS)(x.double()).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graphs_and_transforms_give_what_it_gives(dtype: torch.dtype) -> None:
    """TorchScript, torch.fx, torch.export with any size, and vmap."""
    norm, x = LocalResponseNormalisation(**PAPERS), torch.randn(3, 7, 6, 5, dtype=dtype) * 20
    expected = norm(x)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(norm), buffer)
    buffer.seek(0)
    any_size = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    exported = torch.export.export(norm, (x[:2, :, :4].contiguous(),), dynamic_shapes=(any_size,)).module()
    by_image = torch.vmap(lambda image: norm(image[None])[0])
    for run in (torch.jit.load(buffer), torch.fx.symbolic_trace(norm), exported, by_image):
        torch.testing.assert_close(run(x), expected)


def test_autocast_changes_it_by_bfloat16s_rounding() -> None:
    """The whole net, forward and backward."""
    net, images = small("vgg_a_lrn"), torch.randn(2, 3, 64, 64) * 50
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(images)
    scores.float().sum().backward()
    torch.testing.assert_close(scores.float(), net(images), rtol=0.05, atol=0.05)


def test_every_operator_of_a_step_is_deterministic_on_cuda() -> None:
    """`--deterministic` refused net A-LRN: PyTorch's layer is an average pool, whose backward pass has no such way."""
    net = small("vgg_a_lrn", **SMALL | {"drop_rate": 0.0}).train()
    with recorded() as operators:
        loss = nn.functional.cross_entropy(net(torch.randn(2, 3, 64, 64)), torch.tensor([0, 3]))
        loss.backward()
    assert {"convolution_backward", "max_pool2d_with_indices_backward"} <= set(operators)
    assert not [name for name in operators if UNDETERMINED.match(name)]
    with recorded() as operators:
        nn.LocalResponseNorm(**PAPERS)(torch.randn(1, 8, 4, 4, requires_grad=True)).sum().backward()
    assert "avg_pool3d_backward" in operators  # so the test would find it
