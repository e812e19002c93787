"""The C++ kernels of `fast_inference` on tensors; this machine's compiler builds them.

Importing the package runs nothing of this module. If there is no compiler, or it fails, or the built library computes
wrong results, `kernels()` is None, `why_not()` says why, and `vgg_zoo.fast.winograd` is used in plain PyTorch.
"""

import ctypes
import math
import subprocess
import threading
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vgg_zoo.fast.library import NotBuiltError, library

_FLOATS: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # independent of PyTorch's defaults
_AMX_NUMBERS = 2**18  # of a block of rows, which fits into L2 together with the weights of 32 outputs
_MOST_STORED = 2**16  # channels times outputs of a weight whose U, 10 MB, is stored
_V_NUMBERS = 2**22  # of V, 16 MB, that threads share
_lock = threading.Lock()
_found: list[Any] = []  # after the first attempt: the kernels, or the reason why there are none


def kernels() -> "Kernels | None":
    """The kernels, built and loaded at the first call; None if this is impossible."""
    with _lock:
        if not _found:
            try:
                _found.append(_checked(Kernels(library())))
            except NotBuiltError as error:
                _found.append(str(error))
            except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as error:
                _found.append(f"{type(error).__name__}: {error}")
        return _found[0] if isinstance(_found[0], Kernels) else None


def why_not() -> str | None:
    """Why there are no kernels; None if there are."""
    return None if kernels() is not None else str(_found[0])


@torch.autocast("cpu", enabled=False)
def _checked(found: "Kernels") -> "Kernels":
    """The kernels, after a check that each computes what PyTorch does: a compiler may be broken."""
    generator = torch.Generator("cpu").manual_seed(0)
    shapes = ((1, 32, 9, 11), (48, 32, 3, 3), (48,), (_MOST_STORED // 32 + 64, 32, 3, 3), (64, 32, 7, 7))
    x, weight, bias, wide, fc6 = (torch.randn(shape, generator=generator, **_FLOATS) for shape in shapes)
    image, first, matrix = x[:, :3], weight[:, :3], weight[:, :, 1, 1].contiguous()
    zeros = torch.zeros(len(wide), **_FLOATS)

    def rows(maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1).contiguous()

    def empty(outputs: int = 48) -> Tensor:
        return torch.empty(1, 9, 11, outputs, **_FLOATS)

    for name, y, expected in (
        (
            "winograd",
            found.winograd(rows(x), found.winograd_weight(weight), bias, empty(), relu=False),
            F.conv2d(x, weight, bias, padding=1),
        ),
        (
            "winograd",
            found.winograd(rows(x), found.winograd_weight(wide), zeros, empty(len(wide)), relu=False),
            F.conv2d(x, wide, padding=1),
        ),
        ("fc6", found.fc6(rows(x), fc6, zeros, relu=False), F.conv2d(x, fc6)),
        (
            "first",
            found.first(F.pad(image, (1, 1, 1, 1)).contiguous(), found.first_weight(first), bias, empty(), relu=False),
            F.conv2d(image, first, bias, padding=1),
        ),
        (
            "product",
            found.product(rows(x).view(-1, 32), matrix, bias, relu=False).view(1, 9, 11, 48),
            F.conv2d(x, matrix[:, :, None, None], bias),
        ),
        (
            "normalise",
            found.normalise(rows(x), k=2.0, scale=0.1),
            F.local_response_norm(x, 5, alpha=0.5, beta=0.75, k=2.0),
        ),
    ):
        _check(name, y, rows(expected))
    if found.takes_bf16:
        _check_bf16(found, rows(x).bfloat16(), weight[:32].bfloat16(), bias[:32])
    return found


def _check_bf16(found: "Kernels", x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """The same check for the kernels of bfloat16, on x (1, h, w, 32) and a weight (32, 32, 3, 3)."""
    maps, row, matrix = x.float().permute(0, 3, 1, 2), x.view(-1, 32), weight[:, :, 1, 1].contiguous()
    expected = F.linear(row.float(), matrix.float(), bias)
    _check("product of bf16", found.product(row, matrix, bias, relu=False), expected)
    image, first, y = maps[:, :3], weight[:, :3].float(), torch.empty_like(x)
    found.first(F.pad(image, (1, 1, 1, 1)).contiguous(), found.first_weight(first), bias, y, relu=False)
    _check("first to bf16", y, F.conv2d(image, first, bias, padding=1).permute(0, 2, 3, 1))
    if found.takes_amx:
        _check("product by AMX", found.amx_product(row, matrix, bias, relu=False), expected)
        found.amx(x, found.amx_weight(weight), bias, y, relu=False)
        _check("convolution by AMX", y, F.conv2d(maps, weight.float(), bias, padding=1).permute(0, 2, 3, 1))


def _check(name: str, found: Tensor, expected: Tensor) -> None:
    rounding = 1e-5 if found.dtype == torch.float32 else 2**-7
    if not torch.allclose(found.float(), expected, rtol=rounding, atol=1e-3):
        raise NotBuiltError(f"the built library computes something else than PyTorch does ({name})")


class Workspace(threading.local):
    """Buffers that are kept between calls, so that the system does not allocate their pages again; one per thread."""

    most = 2**24
    """Size of a kept buffer in numbers (64 MB); a larger buffer is freed after its use."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, count: int) -> Tensor:
        """(count,) uninitialised numbers, valid until the next call with this name."""
        kept = self._kept.get(name)
        if kept is None or kept.numel() < count:
            kept = torch.empty(count, **_FLOATS)
            if count <= self.most:
                self._kept[name] = kept
        return kept[:count]


WORKSPACE = Workspace()


def _in_c(value: Tensor | tuple[int, ...] | float) -> Any:
    """An argument for the library as a C type: a tensor's address, an array of numbers, or a number."""
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, tuple):
        return (ctypes.c_long * len(value))(*value)
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_float(value)


@lru_cache(maxsize=16)
def _zeros(count: int) -> Tensor:
    return torch.zeros(count, **_FLOATS)


class Kernels:
    """The library's functions on contiguous CPU tensors, float32 except in `product`; maps are (B, h, w, C)."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for function in ("vgg_stored_floats", "vgg_streamed_floats", "vgg_fc6_floats"):
            getattr(library, function).restype = ctypes.c_long
        self.panel, self.rows = int(library.vgg_panel()), int(library.vgg_rows())
        self.takes_bf16 = hasattr(library, "vgg_product_bf16")  # if the processor has AVX512-BF16
        self.takes_amx = hasattr(library, "vgg_amx_allowed") and bool(library.vgg_amx_allowed())
        if self.takes_amx:
            library.vgg_amx_space.restype = ctypes.c_long

    def _call(self, name: str, *arguments: Tensor | tuple[int, ...] | float) -> int:
        """Call a function of the library on tensors that stay alive until it returns."""
        return getattr(self._library, name)(*map(_in_c, arguments))

    def winograd_weight(self, weight: Tensor) -> Tensor:
        """A weight (K, C, 3, 3) in the form that `winograd` reads.

        It is U if that stays in the cache (10 MB at most), and else the weight itself, of which the kernel transforms
        panels in the cache. This depends on C and K alone.
        """
        if weight.shape[0] * weight.shape[1] <= _MOST_STORED:
            return self._ordered("vgg_transform_weight", weight, 36)
        return self._ordered("vgg_panel_weight", weight, 9)

    def first_weight(self, weight: Tensor) -> Tensor:
        """The first layer's weight (K, C, 3, 3), in the order in which the kernel reads it."""
        return self._ordered("vgg_first_weight", weight, 9)

    def _ordered(self, function: str, weight: Tensor, points: int) -> Tensor:
        outputs, channels = weight.shape[:2]
        ordered = torch.empty(self._numbers(points, channels, outputs), **_FLOATS)
        self._call(function, weight.contiguous(), ordered, channels, outputs)
        return ordered

    def _numbers(self, points: int, channels: int, outputs: int) -> int:
        """Size in numbers of a reordered weight, whose outputs fill whole panels."""
        return points * channels * -(-outputs // self.panel) * self.panel

    def winograd(self, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor, *, relu: bool, pool: bool = False) -> Tensor:
        """A 3 × 3 convolution with padding 1 by F(4×4, 3×3), into y; C and K multiples of 16.

        Args:
            x: (B, h, w, C).
            weight: A weight of `winograd_weight`.
            bias: (K,).
            y: (B, h, w, K), or with `pool` half of h and w; the shape of y says whether they are rounded up or down.
            relu: Apply the ReLU.
            pool: Apply the 2 × 2 max-pool, which takes a ReLU before it.
        """
        batch, height, width, channels = x.shape
        outputs, threads = y.shape[3], torch.get_num_threads()
        assert bias.numel() == outputs
        tiles = batch * -(-height // 4) * -(-width // 4)
        shape, zeros = (batch, height, width, channels, outputs, y.shape[1], y.shape[2]), _zeros(channels)
        if channels * outputs > _MOST_STORED:
            assert weight.numel() == self._numbers(9, channels, outputs)
            block = max(1, min(tiles, _V_NUMBERS // (36 * channels)))
            space = self._space("vgg_streamed_floats", channels, block, threads)
            self._call("vgg_streamed", x, weight, bias, y, shape, relu, pool, block, space, zeros, threads)
            return y
        assert weight.numel() == self._numbers(36, channels, outputs)
        together, block = self._blocks(channels + outputs, tiles, threads)
        space = self._space("vgg_stored_floats", channels, outputs, together, block, threads)
        self._call("vgg_stored", x, weight, bias, y, shape, relu, pool, together, block, space, zeros, threads)
        return y

    def _space(self, function: str, *arguments: int) -> Tensor:
        return WORKSPACE.take("V and M", self._call(function, *arguments))

    def _blocks(self, channels: int, tiles: int, threads: int) -> tuple[bool, int]:
        """Whether threads share a block of tiles, and how many tiles it has, for a weight whose U is stored.

        If there are many tiles, each thread has its own block, whose V and M stay in L2. Otherwise, threads share as
        many as fit into 16 MB of V and M, and each part of U is read by one thread.
        """
        block = 14 if self.rows == 14 else 3 * self.rows
        if tiles >= 2 * threads * block:
            return False, block
        return True, max(1, min(tiles, 2**22 // (36 * channels)))

    def fc6(self, x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool) -> Tensor:
        """fc6 at every place of a map where its window fits, by F(2×2, 7×7).

        Args:
            x: (B, h, w, C), h and w at least 7, C a multiple of 16.
            weight: (K, C, 7, 7), contiguous, K a multiple of `panel`.
            bias: (K,).
            relu: Apply the ReLU.

        Returns:
            (B, h - 6, w - 6, K).
        """
        (batch, height, width, channels), outputs, threads = x.shape, len(weight), torch.get_num_threads()
        assert weight.is_contiguous()
        assert outputs % self.panel == 0
        y = torch.empty(batch, height - 6, width - 6, outputs, **_FLOATS)
        tiles = batch * -(-y.shape[1] // 2) * -(-y.shape[2] // 2)
        block = max(1, min(tiles, _V_NUMBERS // (64 * channels)))
        space = self._space("vgg_fc6_floats", channels, block, threads)
        shape = (batch, height, width, channels, outputs, y.shape[1], y.shape[2])
        self._call("vgg_fc6", x, weight, bias, y, shape, relu, block, space, _zeros(channels), threads)
        return y

    def first(self, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor, *, relu: bool) -> Tensor:
        """A 3 × 3 convolution of few channels with padding 1: x (B, C, h + 2, w + 2), padded; y (B, h, w, K).

        If `takes_bf16`, y may be bfloat16.
        """
        assert weight.numel() == self._numbers(9, x.shape[1], y.shape[3])
        shape = (*y.shape[:3], x.shape[1], y.shape[3])
        name = "vgg_first" if y.dtype == torch.float32 else "vgg_first_bf16"
        self._call(name, x, weight, bias, y, shape, relu, torch.get_num_threads())
        return y

    def amx_weight(self, weight: Tensor) -> Tensor:
        """A weight (K, C, 3, 3) in bfloat16, K and C multiples of 32, in the order in which `amx` reads it."""
        outputs, channels = weight.shape[:2]
        ordered = torch.empty(weight.numel(), dtype=torch.bfloat16, device="cpu")
        self._call("vgg_amx_weight", weight.contiguous(), ordered, channels, outputs)
        return ordered

    def amx(self, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor, *, relu: bool, pool: bool = False) -> Tensor:
        """A 3 × 3 convolution with padding 1 of bfloat16, summed in float32, into y; needs `takes_amx`.

        Args:
            x: (B, h, w, C), bfloat16, or float32, which is rounded.
            weight: A weight of `amx_weight`.
            bias: (K,), float32.
            y: (B, h, w, K), bfloat16, or with `pool` half of h and w; the shape of y says whether they are rounded up
                or down.
            relu: Apply the ReLU.
            pool: Apply the 2 × 2 max-pool, which takes a ReLU before it.
        """
        batch, height, width, channels = x.shape
        assert weight.numel() == 9 * channels * y.shape[3]
        assert relu or not pool
        most = max(2, _AMX_NUMBERS // (channels * (width + 1)) - 2)
        rows = math.ceil(height / math.ceil(height / most))
        of_floats = x.dtype == torch.float32
        shape = (batch, height, width, channels, y.shape[3], *y.shape[1:3], relu, pool, of_floats, rows + rows % 2)
        threads = torch.get_num_threads()
        space = WORKSPACE.take("V and M", -(-self._call("vgg_amx_space", shape) * threads // 2))
        self._call("vgg_amx_conv", x, weight, bias, y, shape, space, threads)
        return y

    def amx_product(self, x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool) -> Tensor:
        """Like `product` of bfloat16, for many rows; inputs and outputs are multiples of 32. Needs `takes_amx`."""
        (rows, inputs), outputs = x.shape, len(weight)
        y = torch.empty(rows, outputs, **_FLOATS)
        space = WORKSPACE.take("V and M", -(-rows // 16) * 16 * inputs // 2)
        threads = torch.get_num_threads()
        self._call("vgg_amx_product", x, weight, bias, y, rows, inputs, outputs, relu, space, threads)
        return y

    def normalise(self, x: Tensor, *, k: float, scale: float) -> Tensor:
        """x / (k + scale · s)^(3/4), in place; s is the sum of the squares of the five channels around each number.

        Args:
            x: (B, h, w, C).
            k, scale: Not negative, k above 0.
        """
        channels, threads = x.shape[3], torch.get_num_threads()
        self._call("vgg_normalise", x, x.numel() // channels, channels, float(k), float(scale), threads)
        return x

    def product(self, x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool) -> Tensor:
        """x · weightᵀ + bias, optionally with a ReLU.

        Args:
            x: (N, inputs), float32; or, with `takes_bf16`, bfloat16, whose products are summed in float32.
            weight: (outputs, inputs), of the same type; inputs a multiple of 16, in bfloat16 of 32.
            bias: (outputs,), float32.

        Returns:
            (N, outputs), float32.
        """
        assert (x.shape[1], x.dtype) == (weight.shape[1], weight.dtype)
        y = torch.empty(len(x), len(weight), **_FLOATS)
        name = "vgg_product" if x.dtype == torch.float32 else "vgg_product_bf16"
        self._call(name, x, weight, bias, y, *x.shape, len(weight), relu, torch.get_num_threads())
        return y
