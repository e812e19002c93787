"""Layers of a `fast_inference` copy in bfloat16 (8 bits of precision), and the rule which layers use it.

Factors are bfloat16, and sums are float32. Winograd's transforms would lose too much precision in bfloat16, so a
bfloat16 convolution is direct and needs four times the multiplications. AVX512-BF16 does them at twice the rate of
float32, AMX at up to sixteen times, so only AMX makes up for this. FC layers read half the bytes, and multiply at these
rates on both.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast import winograd
from vgg_zoo.fast.layers import FastConv, FastFullyConnected, as_map, as_rows
from vgg_zoo.model import fc_over_map, fc_windows

PRECISIONS = ("fp32", "bf16")
_TOGETHER = 16  # rows of a product by oneDNN: the size of AMX' tiles


def check_precision(precision: str | None, net: Any = None) -> None:
    """Refuse a precision that a copy cannot have.

    Args:
        precision: "fp32", "bf16", or None: the precision of the net.
        net: A net, or None to check only the machine.

    Raises:
        ValueError: The precision is unknown; the net is not in float32; or, for bf16, the net is not on a CPU, or the
            CPU does not support it.
    """
    if precision is None:
        return
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    weight = torch.empty(0, device="cpu", dtype=torch.float32) if net is None else next(net.parameters())
    if weight.dtype != torch.float32:
        raise ValueError(
            f"precision={precision!r} is for nets in float32, and this one is in {weight.dtype}; leave "
            "precision out, or give net.float()"
        )
    if precision == "fp32":
        return
    if not weight.is_cpu:
        raise ValueError(
            f"precision='bf16' is for copies on a CPU, and the net is on {weight.device}; use torch.autocast there"
        )
    if bf16_of_cpu() is None:
        raise ValueError(
            "precision='bf16' needs a CPU with AMX or AVX512-BF16, and this one has neither; take precision='fp32'"
        )


def conv_for(conv: nn.Conv2d, weight: Tensor, bias: Tensor, kernel: str, first: bool, normalised: bool) -> FastConv:
    """A convolution of a bf16 copy: in bfloat16, or in float32 if that is faster or costs nothing.

    The first layer is float32: it is little work, and the image keeps its precision. On a CPU without AMX, but with
    compiled kernels, convolutions of up to 3 × 3 are float32 too, because Winograd is faster and 1 × 1 gain nothing.
    The choice does not depend on a map's size.

    Args:
        conv, weight, bias, kernel: As in `FastConv`.
        first: Whether it takes the image.
        normalised: Whether A-LRN's normalisation, which takes float32, follows.
    """
    amx = bf16_of_cpu() == "amx"
    winograds = kernel == "compiled" and not amx
    if first or (winograds and max(conv.kernel_size) <= 3):
        found = FastConv(conv, weight, bias, kernel)
        found.gives = torch.bfloat16 if amx and not normalised and _has_amx(kernel) else torch.float32
        return found
    fits = winograd.suits(conv) and conv.in_channels % 32 == 0 and conv.out_channels % 32 == 0
    if amx and fits and _has_amx(kernel):
        return AmxConv(conv, weight, bias, kernel)
    return Bf16Conv(conv, weight, bias, kernel, torch.float32 if winograds else torch.bfloat16)


def _has_amx(kernel: str) -> bool:
    """Whether the compiled kernels are used and support AMX."""
    kernels = compiled.kernels() if kernel == "compiled" else None
    return kernels is not None and kernels.takes_amx


_AMX = "bf16", "AMX multiplies bfloat16 at up to sixteen times the rate of float32"


class AmxConv(FastConv):
    """A direct 3 × 3 convolution in bfloat16 by the compiled kernel, with its ReLU and max-pool; gives bfloat16 maps.

    The order of its sums depends only on the layer, so an image's map is bit-identical in every batch.

    Args:
        conv, weight, bias, kernel: As in `FastConv`, with multiples of 32 channels; the weight is copied and rounded.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(conv, weight.to(torch.bfloat16), bias, kernel)

    def _ordered(self) -> Tensor | None:
        kernels = compiled.kernels() if _has_amx(self.kernel) else None
        return None if kernels is None else kernels.amx_weight(self.weight.detach())

    def choice(self, height: int, width: int) -> tuple[str, str]:
        """Arithmetic and reason; the same at every size."""
        return _AMX

    def forward(
        self, x: Tensor, relu: bool = False, pool: nn.MaxPool2d | None = None, buffer: str | None = None
    ) -> Tensor:
        """(B, C, h, w), float32 or bfloat16 → (B, K, h, w) in bfloat16; arguments as in `FastConv.forward`."""
        kernels = compiled.kernels()
        takes = x.is_cpu and x.dtype in (torch.float32, torch.bfloat16) and x.shape[1] == self.in_channels
        if self.ordered is None or kernels is None or not takes or x.numel() == 0:
            y = self._conv_forward(x.to(torch.bfloat16), self.weight, self.bias.to(torch.bfloat16))
            y = F.relu_(y) if relu else y
            return y if pool is None else pool(y)
        fused = pool if relu else None
        y = self._rows_of_map(x, fused, buffer, torch.bfloat16)
        y = as_map(kernels.amx(as_rows(x), self.ordered, self.bias, y, relu=relu, pool=fused is not None))
        return y if pool is None or relu else pool(y)


class Bf16Conv(FastConv):
    """A direct convolution in bfloat16. If PyTorch has the operators, the weight is also stored in oneDNN's own order.

    oneDNN may sum in another order for another number of images, so images go through it one by one.

    Args:
        conv, weight, bias, kernel: As in `FastConv`; the weight is copied and rounded, the bias stays float32.
        gives: The type of its map: bfloat16, or float32 if the next layer takes only this.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, kernel: str, gives: torch.dtype) -> None:
        rounded = weight.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        super().__init__(conv, rounded, bias, kernel)
        self.gives = gives

    def _ordered(self) -> Tensor | None:
        operators = _packing()
        if operators is None or isinstance(self.padding, str) or self.padding_mode != "zeros":
            return None
        found: Tensor = operators[0](self.weight.detach(), *self._geometry(), self.groups)
        return found

    def _geometry(self) -> tuple[list[int], list[int], list[int]]:
        return [int(side) for side in self.padding], list(self.stride), list(self.dilation)

    def choice(self, height: int, width: int) -> tuple[str, str]:
        """Arithmetic and reason; the same at every size."""
        if bf16_of_cpu() == "amx":
            return _AMX
        return "bf16", "a direct convolution in float32 takes twice as long"

    def forward(
        self, x: Tensor, relu: bool = False, pool: nn.MaxPool2d | None = None, buffer: str | None = None
    ) -> Tensor:
        """(B, C, h, w), float32 or bfloat16 → (B, K, h, w) of type `gives`; arguments as in `FastConv.forward`."""
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        y = torch.cat([self._image(image) for image in x.split(1)])
        y = y if pool is None else pool(y)
        # The ReLU comes after the pool, where there is less to do. oneDNN's own ReLU of a convolution turns NaN into 0.
        return (F.relu_(y) if relu else y).to(self.gives)

    def _image(self, x: Tensor) -> Tensor:
        if (
            self.ordered is None or x.shape[1] != self.in_channels or x.numel() == 0
        ):  # PyTorch refuses what does not fit
            return self._conv_forward(x, self.weight, self.bias.to(x.dtype))
        operators = _packing()
        assert operators is not None
        found: Tensor = operators[1](x, self.ordered, self.bias, *self._geometry(), self.groups, "none", [], "")
        return found


@cache
def _packing() -> tuple[Any, Any] | None:
    """PyTorch's operators that reorder a convolution's weight for oneDNN, and convolve with it.

    They are private to PyTorch's compiler: they may be missing or take other arguments, so they are tried first.
    """
    names = ("_reorder_convolution_weight", "_convolution_pointwise")
    x, weight = (torch.ones(shape, dtype=torch.bfloat16, device="cpu") for shape in ((1, 32, 3, 3), (32, 32, 3, 3)))
    geometry = ([1, 1], [1, 1], [1, 1], 1)
    try:
        reorder, convolve = (getattr(torch.ops.mkldnn, name) for name in names)
        y = convolve(x, reorder(weight, *geometry), None, *geometry, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return None
    return (reorder, convolve) if torch.equal(y, F.conv2d(x, weight, padding=1)) else None


class Bf16FullyConnected(FastFullyConnected):
    """fc6 or fc7 with a bfloat16 copy of the model's weight; input and output are float32 maps.

    The compiled kernels sum in a fixed order. oneDNN's order depends on the number of rows. So an image whose map has
    16 windows or more goes through it alone, and windows of other images go through it in groups of sixteen.

    Args:
        weight, bias, kernel: As in `FastFullyConnected`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(weight.to(torch.bfloat16), bias, kernel)

    def choice(self, rows: int, columns: int) -> tuple[str, str]:
        """Arithmetic and reason; the same for any number of windows."""
        return "bf16", "limited by reading the weights, half the bytes"

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """(B, C, h, w) → (B, out, h - k + 1, w - k + 1), float32, optionally with a ReLU."""
        rows, columns = (x.shape[2 + i] - self.kernel_size[i] + 1 for i in (0, 1))
        whole = rows * columns >= _TOGETHER
        if whole and len(x) > 1 and self._product(whole) is None:
            return torch.cat([self.forward(image, relu) for image in x.split(1)])
        return super().forward(x, relu)

    def _product(self, whole: bool) -> Callable[..., Tensor] | None:
        """The compiled kernel for the product, if any.

        AMX has another kernel for images with many windows. With few windows, reading the weight takes longest.
        """
        kernels = compiled.kernels() if self.kernel == "compiled" else None
        if kernels is None or not kernels.takes_bf16 or self.weight[0].numel() % 32:
            return None
        if not whole or bf16_of_cpu() != "amx":
            return kernels.product
        return kernels.amx_product if _has_amx(self.kernel) and len(self.weight) % 32 == 0 else None

    def _rows(self, x: Tensor, relu: bool) -> Tensor:
        x = x.to(torch.bfloat16) if x.dtype == torch.float32 else x
        if x.shape[1] != self.in_channels or x.dtype != torch.bfloat16 or not x.is_cpu or x.numel() == 0:
            return fc_over_map(x, self.weight, self.bias.bfloat16()).float()  # PyTorch refuses what does not fit
        windows, matrix = fc_windows(x, self.weight)
        rows, columns = (x.shape[2 + i] - self.kernel_size[i] + 1 for i in (0, 1))
        whole = rows * columns >= _TOGETHER
        multiply = self._product(whole)
        if multiply is not None:
            y = multiply(windows.contiguous(), matrix, self.bias, relu=relu)
        else:
            y = (F.linear(windows, matrix) if whole else _in_sixteens(windows, matrix)).float() + self.bias
            y = F.relu_(y) if relu else y
        return as_map(y.view(x.shape[0], rows, columns, -1))


def _in_sixteens(windows: Tensor, matrix: Tensor) -> Tensor:
    """`F.linear` in groups of exactly sixteen rows; the last group is filled up with zeros."""
    padded = F.pad(windows, (0, 0, 0, -len(windows) % _TOGETHER))
    return torch.cat([F.linear(part, matrix) for part in padded.split(_TOGETHER)])[: len(windows)]
