"""The layers of `fast_inference`'s nets. Each knows its arithmetic; convolution, ReLU and max-pool are fused."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast import winograd
from vgg_zoo.model import fc_over_map, fc_windows
from vgg_zoo.normalisation import LocalResponseNormalisation

Step = Callable[[Tensor], Tensor]
_MOST_WINDOWS = 256  # windows of the first FC layer at once: 25 MB at full width
_MOST_PIXELS = 2**17  # pixels of images whose first maps, 33 MB each, exist at once


def _is_plain(x: Tensor) -> bool:
    """Whether the kernels take the tensor; for other devices and types, PyTorch computes every layer directly."""
    return x.is_cpu and x.dtype == torch.float32 and x.numel() > 0


def as_rows(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, h, w, C), contiguous; an NHWC tensor is not copied."""
    return x.permute(0, 2, 3, 1).contiguous()


def as_map(rows: Tensor) -> Tensor:
    """(B, h, w, C) → (B, C, h, w), without a copy."""
    return rows.permute(0, 3, 1, 2)


class FastLayer:
    """The base class of the layers; it holds the kernel, "compiled" or "torch"."""

    kernel: str

    def use(self, kernel: str) -> None:
        """Set the kernel."""
        self.kernel = kernel


class FastConv(FastLayer, nn.Conv2d):
    """A convolution of the trunk. If `winograd.choice` transforms it, it also stores the weight in its kernel's form.

    Args:
        conv: The layer that it replaces.
        weight: (K, C, k, k), with any strides; not copied.
        bias: (K,).
        kernel: "compiled" or "torch".

    Attributes:
        gives: The type of the output map of the compiled kernel for few input channels.
    """

    bias: Tensor
    gives = torch.float32

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]  # torch's annotations have tuples of any length here
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.use(kernel)

    def use(self, kernel: str) -> None:
        """Set the kernel, and reorder the weight for it."""
        super().use(kernel)
        self.ordered = self._ordered()

    def __getstate__(self) -> dict[str, Any]:
        """The state without tensors in the order of this machine's kernel; the reader calls `use`."""
        return {**self.__dict__, "ordered": None}

    def _ordered(self) -> Tensor | None:
        """The weight in the form for its arithmetic on large maps."""
        kind, weight = self.choice(224, 224)[0], self.weight.detach()
        if kind == "direct":
            return None
        if self.kernel == "torch":
            return winograd.transformed_weight(weight)
        kernels = compiled.kernels()
        assert kernels is not None
        return kernels.first_weight(weight) if kind == "first" else kernels.winograd_weight(weight)

    def choice(self, height: int, width: int) -> tuple[str, str]:
        """Arithmetic and reason at a map's size; see `winograd.choice`."""
        if not _is_plain(self.weight):
            return "direct", f"{self.weight.dtype} on {self.weight.device}: only float32 on a CPU has other arithmetic"
        return winograd.choice(self.kernel, self, height, width)

    def forward(
        self, x: Tensor, relu: bool = False, pool: nn.MaxPool2d | None = None, buffer: str | None = None
    ) -> Tensor:
        """The layer, optionally with the following ReLU and max-pool.

        Args:
            x: (B, C, h, w); the output is (B, K, h, w).
            relu: Apply the ReLU.
            pool: Then apply this 2 × 2 max-pool.
            buffer: Name of the workspace's buffer for the output.
        """
        takes = _is_plain(x) and x.shape[1] == self.in_channels  # PyTorch refuses what does not fit
        kind = self.choice(x.shape[2], x.shape[3])[0] if takes else "direct"
        kernels = compiled.kernels() if kind != "direct" and self.kernel == "compiled" else None
        if kernels is not None:
            y = self._compiled(kernels, x, kind, relu, pool, buffer)
            return y if pool is None or kind == "winograd" else pool(y)
        if kind == "winograd":
            assert self.ordered is not None
            y = as_map(winograd.convolve(as_rows(x), self.ordered, self.bias))
        else:
            y = self._conv_forward(x, self.weight, self.bias)
        y = F.relu_(y) if relu else y
        return y if pool is None else pool(y)

    def _compiled(
        self, kernels: compiled.Kernels, x: Tensor, kind: str, relu: bool, pool: nn.MaxPool2d | None, buffer: str | None
    ) -> Tensor:
        assert self.ordered is not None
        if kind == "first":
            y = self._rows_of_map(x, None, buffer, self.gives)
            padded = F.pad(x, (1, 1, 1, 1)).contiguous()
            return as_map(kernels.first(padded, self.ordered, self.bias, y, relu=relu))
        y = self._rows_of_map(x, pool, buffer, x.dtype)
        return as_map(kernels.winograd(as_rows(x), self.ordered, self.bias, y, relu=relu, pool=pool is not None))

    def _rows_of_map(self, x: Tensor, pool: nn.MaxPool2d | None, buffer: str | None, dtype: torch.dtype) -> Tensor:
        """The memory for a kernel's output, (B, h, w, K): a buffer of the workspace, or a new tensor."""
        height, width = x.shape[2:]
        if pool is not None:
            height, width = (height + pool.ceil_mode) // 2, (width + pool.ceil_mode) // 2
        shape = (x.shape[0], height, width, self.out_channels)
        if buffer is None:
            return x.new_empty(shape, dtype=dtype)
        numbers = compiled.WORKSPACE.take(buffer, math.prod(shape))  # in floats: enough for any type
        return numbers.view(dtype)[: math.prod(shape)].view(shape)


class FastLRN(FastLayer, LocalResponseNormalisation):
    """A-LRN's normalisation (Table 1) in one pass over the map; PyTorch needs many.

    Args:
        norm: The layer that it replaces.
        kernel: "compiled" or "torch".
    """

    def __init__(self, norm: nn.LocalResponseNorm, kernel: str) -> None:
        super().__init__(norm.size, norm.alpha, norm.beta, norm.k)
        self.use(kernel)

    def forward(self, x: Tensor, in_place: bool = False) -> Tensor:
        """(B, C, h, w) → the same shape; use `in_place` if x is not needed any more."""
        suits = (self.size, self.beta) == (5, 0.75) and self.k > 0 and self.alpha >= 0
        kernels = compiled.kernels() if self.kernel == "compiled" and suits and _is_plain(x) else None
        if kernels is None:
            return super().forward(x)
        rows = as_rows(x)
        if not in_place and rows.data_ptr() == x.data_ptr():
            rows = rows.clone()
        return as_map(kernels.normalise(rows, k=self.k, scale=self.alpha / self.size))


class FastFullyConnected(FastLayer, nn.Conv2d):
    """fc6 or fc7 over windows of the map (Sect. 3.2), as a matrix product or by Winograd; it shares the model's weight.

    Args:
        weight: (out, C, k, k).
        bias: (out,).
        kernel: "compiled" or "torch".
    """

    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(weight.shape[1], weight.shape[0], (weight.shape[2], weight.shape[3]), device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.use(kernel)

    def choice(self, rows: int, columns: int) -> tuple[str, str]:
        """Arithmetic and reason for that many windows; see `winograd.choice_of_fc`."""
        kernels = compiled.kernels() if self.kernel == "compiled" and _is_plain(self.weight) else None
        if kernels is None:
            return winograd.choice_of_fc("torch", 1, self, rows, columns)
        return winograd.choice_of_fc("compiled", kernels.panel, self, rows, columns)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """(B, C, h, w) → (B, out, h - k + 1, w - k + 1), optionally with a ReLU; many windows are computed in parts."""
        rows, columns = (x.shape[2 + i] - self.kernel_size[i] + 1 for i in (0, 1))
        takes = _is_plain(x) and x.shape[1] == self.in_channels
        if takes and self.choice(rows, columns)[0] == "winograd":
            kernels = compiled.kernels()
            assert kernels is not None
            return as_map(kernels.fc6(as_rows(x), self.weight, self.bias, relu=relu))
        most, kernel = max(1, _MOST_WINDOWS // max(1, columns * x.shape[0])), self.kernel_size[0]
        parts = [self._rows(x[:, :, top : top + most + kernel - 1], relu) for top in range(0, rows, most)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _rows(self, x: Tensor, relu: bool) -> Tensor:
        plain = _is_plain(x) and _is_plain(self.weight) and x.shape[1] == self.in_channels
        if self.kernel == "compiled" and plain:
            windows, matrix = fc_windows(x, self.weight)
            y = product(windows, matrix, self.bias, relu)
            rows, columns = x.shape[2] - self.kernel_size[0] + 1, x.shape[3] - self.kernel_size[1] + 1
            return as_map(y.view(x.shape[0], rows, columns, -1))
        y = fc_over_map(x, self.weight, self.bias)
        return F.relu_(y) if relu else y


class FastLinear(FastLayer, nn.Linear):
    """fc8, which shares the model's weight."""

    def __init__(self, weight: Tensor, bias: Tensor, kernel: str) -> None:
        super().__init__(weight.shape[1], weight.shape[0], device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.use(kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out)."""
        if self.kernel != "compiled" or not (_is_plain(x) and _is_plain(self.weight)):
            return F.linear(x, self.weight, self.bias)
        return product(x.reshape(-1, x.shape[-1]), self.weight, self.bias, relu=False).view(*x.shape[:-1], -1)


def product(x: Tensor, matrix: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """x · matrixᵀ + bias of (N, inputs) and (outputs, inputs), by the kernel if it takes them."""
    kernels = compiled.kernels()
    if kernels is None or x.shape[1] % 16 or x.shape[1] != matrix.shape[1] or not matrix.is_contiguous():
        y = F.linear(x, matrix, bias)
        return F.relu_(y) if relu else y
    return kernels.product(x.contiguous(), matrix, bias, relu=relu)


def run_steps(steps: Sequence[Step], x: Tensor) -> Tensor:
    """Run steps of a net one after the other, and fuse those that a kernel does at once.

    Args:
        steps: Modules and functions, for example those of `vgg_zoo.layers.steps_of(net)`.
        x: (B, C, h, w).

    Returns:
        A new tensor; it shares no memory with a buffer.
    """
    place, turn = 0, 0
    while place < len(steps):
        step = steps[place]
        if not isinstance(step, FastConv | FastFullyConnected):
            x, place = step(x), place + 1
            continue
        relu = place + 1 < len(steps) and type(steps[place + 1]) is nn.ReLU
        place += 1 + relu
        if isinstance(step, FastFullyConnected):
            x = step(x, relu)
            continue
        pool = steps[place] if relu and place < len(steps) and _is_two_by_two(steps[place]) else None
        place += pool is not None
        norm = steps[place] if place < len(steps) and isinstance(steps[place], FastLRN) else None
        place += norm is not None
        kept = place == len(steps) or not isinstance(steps[place], FastConv | nn.MaxPool2d)  # others make another map
        buffer = None if kept else f"map {turn}"
        x, turn = step(x, relu, pool, buffer), 1 - turn
        x = x if norm is None else norm(x, in_place=True)  # type: ignore[call-arg]  # a FastLRN, as checked above
    return x


def _is_two_by_two(step: Any) -> bool:
    """Whether a step is the paper's max-pool (Sect. 2.1)."""
    if type(step) is not nn.MaxPool2d or step.return_indices:
        return False
    return all(
        value in (wanted, (wanted, wanted))
        for value, wanted in ((step.kernel_size, 2), (step.stride, 2), (step.padding, 0), (step.dilation, 1))
    )


class FastTrunk(nn.Sequential):
    """Layers that run by `run_steps`; so does a slice of it.

    Only a few images of a batch go through the first three stages at a time: the maps there are large, and so stay in
    the cache.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the last layer's map."""
        steps = [inner for child in self for inner in (child if isinstance(child, nn.Sequential) else [child])]
        pools = [place for place, step in enumerate(steps, start=1) if isinstance(step, nn.MaxPool2d)]
        some = max(1, _MOST_PIXELS // max(1, x.shape[2] * x.shape[3]))
        if len(pools) < 3 or len(x) <= some:
            return run_steps(steps, x)
        parts = [run_steps(steps[: pools[2]], part).permute(0, 2, 3, 1) for part in x.split(some)]
        return run_steps(steps[pools[2] :], torch.cat(parts).permute(0, 3, 1, 2))
