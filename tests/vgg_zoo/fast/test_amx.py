"""The kernels for AMX on shapes of all kinds, beside PyTorch's sums in float64. Skipped where the CPU has none."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast.kernels import Kernels

HERE = compiled.kernels()
pytestmark = pytest.mark.skipif(HERE is None or not HERE.takes_amx, reason="no compiler, or no AMX")

sizes, panels = st.integers(1, 40), st.integers(1, 3)


def kernels() -> Kernels:
    """This machine's."""
    assert HERE is not None
    return HERE


def layer(channels: int, outputs: int) -> tuple[Tensor, Tensor]:
    """A weight in bfloat16 with sums about as large as the factors, and a bias."""
    weight = torch.randn(outputs, channels, 3, 3) / math.sqrt(9 * channels)
    return weight.bfloat16(), torch.randn(outputs)


def convolved(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = True, pool: bool = False) -> Tensor:
    """By the kernel: (B, h, w, C) → (B, h, w, K)."""
    batch, height, width, _ = x.shape
    size = (height // 2, width // 2) if pool else (height, width)
    y = torch.full((batch, *size, len(weight)), math.nan, dtype=torch.bfloat16)
    return kernels().amx(x, kernels().amx_weight(weight), bias, y, relu=relu, pool=pool)


def expected(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = True, pool: bool = False) -> Tensor:
    """The same by PyTorch, in float64."""
    y = F.conv2d(x.permute(0, 3, 1, 2).double(), weight.double(), bias.double(), padding=1)
    y = F.relu(y) if relu else y
    return (F.max_pool2d(y, 2) if pool else y).permute(0, 2, 3, 1)


@given(st.integers(1, 3), sizes, sizes, panels, panels, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_convolution(
    batch: int, height: int, width: int, channels: int, outputs: int, floats: bool, relu: bool, pool: bool
) -> None:
    """Of maps in either type; the only rounding is that of what it takes and gives."""
    pool = pool and min(height, width) > 1
    x = torch.randn(batch, height, width, 32 * channels).bfloat16()
    weight, bias = layer(32 * channels, 32 * outputs)
    found = convolved(x.float() if floats else x, weight, bias, relu=relu or pool, pool=pool)
    exact = expected(x, weight, bias, relu=relu or pool, pool=pool)
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("pool", [False, True])
def test_blocks_of_rows_and_of_outputs(pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large map goes through in blocks of rows, like a small one if the buffer is small: bit-identical."""
    x, (weight, bias) = torch.randn(2, 47, 29, 64).bfloat16(), layer(64, 96)
    whole = convolved(x, weight, bias, pool=pool)
    monkeypatch.setattr(compiled, "_AMX_NUMBERS", 64 * 30 * 6)
    assert torch.equal(convolved(x, weight, bias, pool=pool), whole)
    monkeypatch.setattr(compiled, "_AMX_NUMBERS", 1)
    assert torch.equal(convolved(x, weight, bias, pool=pool), whole)


def test_bits_do_not_depend_on_the_batch_or_the_threads() -> None:
    """Each sum has an order of its own."""
    x, (weight, bias), threads = torch.randn(5, 14, 14, 64).bfloat16(), layer(64, 64), torch.get_num_threads()
    together = convolved(x, weight, bias)
    windows, matrix = torch.randn(70, 3200).bfloat16(), torch.randn(64, 3200).bfloat16()
    products = kernels().amx_product(windows, matrix, bias, relu=False)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert all(torch.equal(convolved(x[i : i + 1], weight, bias)[0], together[i]) for i in range(5))
            assert torch.equal(kernels().amx_product(windows[9:12], matrix, bias, relu=False), products[9:12])
    finally:
        torch.set_num_threads(threads)


def test_nan_and_infinity_stay() -> None:
    """As PyTorch's ReLU and max-pool keep them."""
    x, (weight, bias) = torch.randn(1, 8, 8, 32).bfloat16(), layer(32, 32)
    x[0, 2, 2, 5], x[0, 7, 7, 0] = math.nan, math.inf
    for pool in (False, True):
        found, exact = convolved(x, weight, bias, pool=pool), expected(x, weight, bias, pool=pool)
        assert torch.equal(found.isnan(), exact.isnan())
        assert torch.equal(found.isinf(), exact.isinf())


@given(st.integers(1, 130), st.integers(1, 110), st.integers(1, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_product(rows: int, steps: int, outputs: int, relu: bool) -> None:
    """Of any rows; long ones are summed in more than one run. Sums and outputs are float32."""
    x, weight = (torch.randn(count, 32 * steps).bfloat16() for count in (rows, 32 * outputs))
    bias = torch.randn(32 * outputs)
    exact = F.linear(x.double(), weight.double(), bias.double())
    found = kernels().amx_product(x, weight, bias, relu=relu)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact.relu() if relu else exact, rtol=1e-4, atol=1e-3)
