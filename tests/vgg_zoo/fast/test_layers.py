"""A-LRN's normalisation by `vgg_zoo.fast.layers`, against PyTorch's in float64; test_winograd has the convolutions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast.layers import FastLRN
from vgg_zoo.normalisation import LocalResponseNormalisation

needs_compiler = pytest.mark.skipif(compiled.kernels() is None, reason=str(compiled.why_not()))


def normalised(norm: nn.LocalResponseNorm, x: Tensor) -> Tensor:
    """In float64."""
    return F.local_response_norm(x.double(), norm.size, norm.alpha, norm.beta, norm.k)


@needs_compiler
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9)),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
    alpha=st.sampled_from([0.0, 5e-4, 1.0]),
    nhwc=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_normalisation_is_pytorchs(size: tuple[int, int, int, int], scale: float, alpha: float, nhwc: bool) -> None:
    """Of any number of channels, in place or not, in either layout."""
    norm, x = nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=2.0), scale * torch.randn(size)
    x = x.contiguous(memory_format=torch.channels_last) if nhwc else x
    expected, before = normalised(norm, x), x.clone()
    for found in (FastLRN(norm, "compiled")(x), FastLRN(norm, "compiled")(x.clone(), in_place=True)):
        torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=0)
    assert torch.equal(x, before)


@needs_compiler
def test_what_is_not_finite_spreads_as_in_pytorch() -> None:
    """To the channels whose sums have it, and no further."""
    norm, x = nn.LocalResponseNorm(5), torch.randn(1, 32, 2, 2)
    x[0, 9, 1, 1], x[0, 20, 0, 0] = torch.nan, torch.inf
    torch.testing.assert_close(
        FastLRN(norm, "compiled")(x).double(), normalised(norm, x), equal_nan=True, rtol=2e-6, atol=0
    )


@pytest.mark.parametrize(("size", "beta", "k"), [(3, 0.75, 2.0), (5, 0.5, 1.0), (5, 0.75, 0.0)])
def test_another_normalisation_than_the_papers_is_the_nets_own(size: int, beta: float, k: float) -> None:
    """The kernel has one window and one power."""
    norm, x = LocalResponseNormalisation(size, beta=beta, k=k), torch.randn(2, 32, 5, 5)
    assert torch.equal(FastLRN(norm, "compiled")(x), norm(x))
