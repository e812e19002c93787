"""Winograd's 3 × 3 convolution against the direct one in float64, in PyTorch and compiled."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast import winograd
from vgg_zoo.fast.layers import FastConv

KERNELS = [
    "torch",
    pytest.param("compiled", marks=pytest.mark.skipif(compiled.kernels() is None, reason=str(compiled.why_not()))),
]


def layer(channels: int, outputs: int, seed: int = 0) -> nn.Conv2d:
    """A layer of the paper's, its weights of a size that keeps activations'."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.normal_(conv.weight, std=(2 / (9 * channels)) ** 0.5)
    return conv.requires_grad_(False)


def direct(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution in float64."""
    assert conv.bias is not None
    return F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)


def error(found: Tensor, expected: Tensor) -> float:
    """The greatest difference, relative to the greatest number."""
    return float((found - expected).abs().max() / expected.abs().max())


def test_the_matrices_give_the_four_sums_of_three_products() -> None:
    """Aᵀ[(G g) ⊙ (Bᵀ d)] in one dimension is the correlation of d and g."""
    d, g = torch.randn(6, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    b, w, a = (
        torch.tensor(rows, dtype=torch.float64)
        for rows in (winograd.INPUT_TRANSFORM, winograd.WEIGHT_TRANSFORM, winograd.OUTPUT_TRANSFORM)
    )
    torch.testing.assert_close(a @ ((w @ g) * (b @ d)), d.unfold(0, 3, 1) @ g)


@given(
    channels=st.integers(1, 40),
    outputs=st.integers(1, 40),
    size=st.tuples(st.integers(1, 3), st.integers(1, 45), st.integers(1, 45)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_pytorchs_way_is_the_convolution(channels: int, outputs: int, size: tuple[int, int, int], seed: int) -> None:
    """Of any channels and any map, in strips or in one piece."""
    conv, (batch, height, width) = layer(channels, outputs, seed), size
    x = torch.randn(batch, channels, height, width)
    assert conv.bias is not None
    y = winograd.convolve(x.permute(0, 2, 3, 1).contiguous(), winograd.transformed_weight(conv.weight), conv.bias)
    assert error(y.permute(0, 3, 1, 2), direct(conv, x)) < 3e-5


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
@given(
    blocks=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 45), st.integers(1, 45)),
    relu=st.booleans(),
    pool=st.sampled_from([None, False, True]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_compiled_kernel_is_the_convolution(
    blocks: tuple[int, int], size: tuple[int, int, int], relu: bool, pool: bool | None, seed: int
) -> None:
    """With ReLU and either max-pool behind it, of any batch and map."""
    kernels = compiled.kernels()
    assert kernels is not None
    conv, (batch, height, width) = layer(16 * blocks[0], 16 * blocks[1], seed), size
    x = torch.randn(batch, conv.in_channels, height, width)
    expected = direct(conv, x)
    expected = expected.relu() if relu or pool is not None else expected
    if pool is not None and min(height, width) > 1:
        expected = F.max_pool2d(expected, 2, ceil_mode=pool)
    assert conv.bias is not None
    y = torch.full((batch, *expected.shape[2:], conv.out_channels), torch.nan)
    kernels.winograd(
        x.permute(0, 2, 3, 1).contiguous(),
        kernels.winograd_weight(conv.weight),
        conv.bias,
        y,
        relu=relu or pool is not None,
        pool=pool is not None and min(height, width) > 1,
    )
    assert error(y.permute(0, 3, 1, 2), expected) < 3e-5


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
@given(
    channels=st.sampled_from([256, 272, 512]),
    size=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_wide_layers_keep_their_weights_as_they_are(channels: int, size: tuple[int, int, int], seed: int) -> None:
    """They take nine numbers for a kernel; the sums of parts of the channels make the error smaller than one sum."""
    kernels = compiled.kernels()
    assert kernels is not None
    conv, (batch, height, width) = layer(channels, 512, seed), size
    assert conv.bias is not None
    x, weight = torch.randn(batch, channels, height, width).relu(), kernels.winograd_weight(conv.weight)
    y = torch.full((batch, height, width, 512), torch.nan)
    kernels.winograd(x.permute(0, 2, 3, 1).contiguous(), weight, conv.bias, y, relu=False)
    assert weight.numel() == conv.weight.numel()
    expected = direct(conv, x)
    assert (y.permute(0, 3, 1, 2) - expected).norm() < 5e-6 * expected.norm()


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
@given(
    sixteens=st.integers(1, 9),
    size=st.tuples(st.integers(1, 3), st.integers(7, 18), st.integers(7, 18)),
    relu=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_fc6_over_a_map_is_the_convolution(sixteens: int, size: tuple[int, int, int], relu: bool, seed: int) -> None:
    """Of any map, odd or even; an image's bits do not depend on the others."""
    kernels = compiled.kernels()
    assert kernels is not None
    torch.manual_seed(seed)
    channels, (batch, height, width) = 16 * sixteens, size
    x, bias = torch.randn(batch, height, width, channels).relu(), torch.randn(64)
    weight = torch.randn(64, channels, 7, 7) * (2 / (49 * channels)) ** 0.5
    y = kernels.fc6(x, weight, bias, relu=relu)
    expected = F.conv2d(x.permute(0, 3, 1, 2).double(), weight.double(), bias.double()).permute(0, 2, 3, 1)
    expected = expected.relu() if relu else expected
    assert (y - expected).norm() < 1e-5 * expected.norm()
    assert torch.equal(kernels.fc6(x[-1:].contiguous(), weight, bias, relu=relu), y[-1:])


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
@given(st.integers(1, 130), st.integers(1, 12), st.integers(1, 70), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_compiled_product_is_a_linear_layer(rows: int, sixteens: int, outputs: int, relu: bool) -> None:
    """Of any rows and outputs, few and many; a row's bits do not depend on the others."""
    kernels = compiled.kernels()
    assert kernels is not None
    x, weight, bias = torch.randn(rows, 16 * sixteens), torch.randn(outputs, 16 * sixteens), torch.randn(outputs)
    expected = F.linear(x.double(), weight.double(), bias.double())
    found = kernels.product(x, weight, bias, relu=relu)
    torch.testing.assert_close(found.double(), expected.relu() if relu else expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(kernels.product(x[-1:], weight, bias, relu=relu), found[-1:])


@pytest.mark.skipif(not getattr(compiled.kernels(), "takes_bf16", False), reason="no compiler, or no AVX512-BF16")
@given(st.integers(1, 130), st.integers(1, 6), st.integers(1, 70), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_compiled_product_of_bf16_sums_in_float32(rows: int, pairs: int, outputs: int, relu: bool) -> None:
    """Of any rows and outputs, few and many; a row's bits do not depend on the others."""
    kernels = compiled.kernels()
    assert kernels is not None
    x, weight = (torch.randn(count, 32 * pairs).bfloat16() for count in (rows, outputs))
    bias = torch.randn(outputs)
    expected = F.linear(x.double(), weight.double(), bias.double())
    found = kernels.product(x, weight, bias, relu=relu)
    torch.testing.assert_close(found.double(), expected.relu() if relu else expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(kernels.product(x[-1:], weight, bias, relu=relu), found[-1:])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(1, 28, 28), (3, 33, 41)])
def test_an_images_bits_do_not_depend_on_its_batch(kernel: str, size: tuple[int, int, int]) -> None:
    """Nor on the number of threads."""
    conv = layer(256, 256)
    assert conv.bias is not None
    fast = FastConv(conv, conv.weight.detach(), conv.bias.detach(), kernel)
    x = torch.randn(4, 256, *size[1:])
    together = fast(x)
    assert all(torch.equal(fast(x[place : place + 1])[0], together[place]) for place in range(4))


@pytest.mark.skipif(compiled.kernels() is None, reason="no compiler")
def test_the_bits_do_not_depend_on_the_threads() -> None:
    """Which share the tiles, or have blocks of their own."""
    threads = torch.get_num_threads()
    for channels in (64, 512):
        conv = layer(channels, channels)
        assert conv.bias is not None
        fast, x = FastConv(conv, conv.weight.detach(), conv.bias.detach(), "compiled"), torch.randn(1, channels, 30, 30)
        found = []
        try:
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                found.append(fast(x))
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("kernel", "conv", "size", "expected"),
    [
        ("compiled", nn.Conv2d(3, 64, 3, padding=1), (224, 224), "first"),
        ("compiled", nn.Conv2d(64, 64, 3, padding=1), (224, 224), "winograd"),
        ("compiled", nn.Conv2d(512, 512, 3, padding=1), (7, 7), "winograd"),
        ("compiled", nn.Conv2d(512, 512, 3, padding=1), (6, 99), "direct"),
        ("compiled", nn.Conv2d(256, 256, 1), (56, 56), "direct"),
        ("compiled", nn.Conv2d(64, 64, 5, padding=2), (56, 56), "direct"),
        ("compiled", nn.Conv2d(64, 64, 3, padding=1, groups=2), (56, 56), "direct"),
        ("compiled", nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"), (56, 56), "direct"),
        ("compiled", nn.Conv2d(40, 64, 3, padding=1), (56, 56), "direct"),
        ("torch", nn.Conv2d(256, 256, 3, padding=1), (56, 56), "winograd"),
        ("torch", nn.Conv2d(64, 64, 3, padding=1), (224, 224), "direct"),
        ("torch", nn.Conv2d(512, 512, 3, padding=1), (14, 14), "direct"),
    ],
)
def test_the_rule(kernel: str, conv: nn.Conv2d, size: tuple[int, int], expected: str) -> None:
    """Of layer and map, with a reason."""
    kind, reason = winograd.choice(kernel, conv, *size)
    assert kind == expected
    assert reason


@pytest.mark.parametrize(
    ("kernel", "fc", "windows", "expected"),
    [
        ("compiled", nn.Conv2d(512, 64, 7), (6, 6), "winograd"),
        ("compiled", nn.Conv2d(512, 64, 7), (1, 30), "winograd"),
        ("compiled", nn.Conv2d(512, 64, 7), (1, 1), "product"),
        ("compiled", nn.Conv2d(512, 64, 7), (5, 5), "product"),
        ("compiled", nn.Conv2d(64, 64, 1), (6, 6), "product"),
        ("compiled", nn.Conv2d(500, 64, 7), (6, 6), "product"),
        ("compiled", nn.Conv2d(512, 50, 7), (6, 6), "product"),
        ("compiled", nn.Conv2d(512, 64, 7).to(memory_format=torch.channels_last), (6, 6), "product"),
        ("torch", nn.Conv2d(512, 64, 7), (6, 6), "product"),
    ],
)
def test_the_rule_of_fc_layers(kernel: str, fc: nn.Conv2d, windows: tuple[int, int], expected: str) -> None:
    """Of layer and map, with a reason."""
    kind, reason = winograd.choice_of_fc(kernel, 32, fc, *windows)
    assert kind == expected
    assert reason
