"""Layers of a `fast_inference` copy in bfloat16, 8 bits of precision, and the rule which layers have it.

What is multiplied is bfloat16, and sums are float32. Winograd's transforms would lose too much in it, so a bfloat16
convolution is a direct one: four times the multiplications. AVX512-BF16 does them at twice the rate of float32, AMX at
up to sixteen times, so only AMX makes up for it. FC layers read half the bytes and multiply at that rate on either.
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
_TOGETHER = 16  # rows of a product by oneDNN: AMX has tiles of so many


def check_precision(precision: str | None, net: Any = None) -> None:
    """Refuse what a copy cannot be computed in.

    Args:
        precision: "fp32", "bf16", or None: as the net is.
        net: A net, or None to look at the machine alone.

    Raises:
        ValueError: An unknown precision, a net that is not held in float32, or for bf16 one that is not on a CPU; or
            a CPU without the arithmetic.
    """
    if precision is None:
        return
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    weight = torch.empty(0, device="cpu", dtype=torch.float32) if net is None else next(net.parameters())
    if weight.dtype != torch.float32:
        raise ValueError(
            f"precision={precision!r} is for nets that are held in float32, and this one is in {weight.dtype}; leave "
            "precision out, or give net.float()"
        )
    if precision == "fp32":
        return
    if not weight.is_cpu:
        raise ValueError(
            f"precision='bf16' is of copies on a CPU, and the net is on {weight.device}; use torch.autocast there"
        )
    if bf16_of_cpu() is None:
        raise ValueError(
            "precision='bf16' needs a CPU with AMX or AVX512-BF16, and this one has neither; take precision='fp32'"
        )


def conv_for(conv: nn.Conv2d, weight: Tensor, bias: Tensor, kernel: str, first: bool, normalised: bool) -> FastConv:
    """A convolution of a bf16 copy: in bfloat16, or in float32 where that is faster or costs nothing.

    The first layer is float32: it is little work, and the image keeps its precision. On a CPU without AMX
    convolutions of up to 3 × 3 are, too, where the compiled kernels are: Winograd is faster, and 1 × 1 gain nothing.
    This does not depend on a map's size.

    Args:
        conv, weight, bias, kernel: As of `FastConv`.
        first: It takes the image.
        normalised: The net has A-LRN's normalisation behind it, which takes float32.
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
    """Whether the compiled kernels are used, and have AMX."""
    kernels = compiled.kernels() if kernel == "compiled" else None
    return kernels is not None and kernels.takes_amx


_AMX = "bf16", "AMX multiplies bfloat16 at up to sixteen times the rate of float32"


class AmxConv(FastConv):
    """A direct 3 × 3 convolution in bfloat16 by the compiled kernel, with its ReLU and max-pool; gives bfloat16 maps.

    It sums in an order that depends on the layer alone, so an image's map is bit-identical in every batch.

    Args:
        conv, weight, bias, kernel: As of `FastConv`, of multiples of 32 channels; the weight is rounded to a copy.
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
        """(B, C, h, w), float32 or bfloat16 → (B, K, h, w) in bfloat16; arguments as of `FastConv.forward`."""
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
    """A direct convolution in bfloat16; oneDNN's own order of the weight is kept beside it where PyTorch has that.

    oneDNN may sum in another order for another number of images, so they go through it one by one.

    Args:
        conv, weight, bias, kernel: As of `FastConv`; the weight is rounded to a copy, the bias stays float32.
        gives: The type of its map: bfloat16, or float32 for a layer behind it that takes no other.
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
        """(B, C, h, w), float32 or bfloat16 → (B, K, h, w) of type `gives`; arguments as of `FastConv.forward`."""
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        y = torch.cat([self._image(image) for image in x.split(1)])
        y = y if pool is None else pool(y)
        # After the pool there is less to do. oneDNN's own ReLU of a convolution makes 0 of NaN.
        return (F.relu_(y) if relu else y).to(self.gives)

    def _image(self, x: Tensor) -> Tensor:
        if (
            self.ordered is None or x.shape[1] != self.in_channels or x.numel() == 0
        ):  # what does not fit is PyTorch's to refuse
            return self._conv_forward(x, self.weight, self.bias.to(x.dtype))
        operators = _packing()
        assert operators is not None
        found: Tensor = operators[1](x, self.ordered, self.bias, *self._geometry(), self.groups, "none", [], "")
        return found


@cache
def _packing() -> tuple[Any, Any] | None:
    """PyTorch's operators that put a convolution's weight into oneDNN's own order, and convolve with that.

    Its compiler has them for itself: they may be missing, or take other arguments, and are tried first.
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
    """fc6 or fc7 with a weight in bfloat16, a copy of the model's; takes and gives float32 maps.

    The compiled kernels sum in an order of their own. oneDNN's depends on the number of rows: an image whose map has 16
    windows or more goes through it alone, and windows of other images in fixed sixteens.

    Args:
        weight, bias, kernel: As of `FastFullyConnected`.
    """

    arithmetic = "bf16", "bound by reading the weights, half the bytes"

    def __init__(self, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(weight.to(torch.bfloat16), bias, kernel)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """(B, C, h, w) → (B, out, h - k + 1, w - k + 1), float32, with its ReLU if wanted."""
        rows, columns = (x.shape[2 + i] - self.kernel_size[i] + 1 for i in (0, 1))
        whole = rows * columns >= _TOGETHER
        if whole and len(x) > 1 and self._product(whole) is None:
            return torch.cat([self.forward(image, relu) for image in x.split(1)])
        return super().forward(x, relu)

    def _product(self, whole: bool) -> Callable[..., Tensor] | None:
        """The compiled kernel that multiplies, if any.

        On AMX there is another one for images of many windows. With few, reading the weight takes longest.
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
            return fc_over_map(x, self.weight, self.bias.bfloat16()).float()  # what does not fit is PyTorch's to refuse
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
    """`F.linear`, always of sixteen rows, the last ones filled up with zeros."""
    padded = F.pad(windows, (0, 0, 0, -len(windows) % _TOGETHER))
    return torch.cat([F.linear(part, matrix) for part in padded.split(_TOGETHER)])[: len(windows)]
