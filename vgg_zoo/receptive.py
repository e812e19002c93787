"""Receptive fields: which pixels a cell of a map sees, computed from the modules. Tiles and windows depend on them."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import nn

from vgg_zoo.inference import POOLS

_ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations", "timm.layers.activations_me")
_OF_MANY = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention)
"""Activations whose output at a position depends on other positions."""
_POINTWISE = (nn.LocalResponseNorm, nn.Identity, nn.modules.dropout._DropoutNd)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


class Field(NamedTuple):
    """The receptive field of cell c: `size` pixels, beginning at c · `stride` − `before`."""

    stride: int
    before: int
    size: int


class _Window(NamedTuple):
    """The window of a conv or pool in one dimension; `pad` has the padding on the left or top, and on both sides."""

    size: int
    stride: int
    pad: tuple[int, int]
    ceil: bool


def is_activation(module: object) -> bool:
    """Whether a module changes each number independently, like a ReLU."""
    return type(module).__module__ in _ACTIVATIONS and not isinstance(module, _OF_MANY)


def check_is_local(features: nn.Module) -> None:
    """Refuse a trunk whose map depends on distant pixels: it cannot be applied in tiles.

    Raises:
        ValueError: It has modules other than convs, max- and average-pools, activations, batch norm, LRN and dropout.
    """
    for name, module in _leaves("features", features):
        norm = isinstance(module, nn.BatchNorm2d) and module.running_mean is not None
        if norm or is_activation(module) or isinstance(module, _POINTWISE):
            continue
        if not isinstance(module, nn.Conv2d | POOLS) or getattr(module, "padding_mode", "zeros") == "circular":
            raise ValueError(
                f"a net with a {type(module).__name__} in its trunk ({name}) cannot be applied densely; a trunk may "
                "have convs without circular padding, max- and average-pools, activations, batch norm with running "
                "statistics, LRN and dropout"
            )


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that compute something, in order; a parametrisation of a conv's weight is part of the conv."""
    children = [] if isinstance(module, nn.Conv2d) else list(module.named_children())
    if not children and not isinstance(module, _CONTAINERS):
        yield name, module
    for inner, child in children:
        yield from _leaves(f"{name}.{inner}", child)


def field_of(modules: Iterable[nn.Module], dimension: int = 0) -> Field:
    """The receptive field of modules that run one after the other.

    Args:
        modules: A trunk, or its first modules.
        dimension: 0 for the height, 1 for the width.
    """
    stride, before, size = 1, 0, 1
    for window in _windows(modules, dimension):
        before, size = before + window.pad[0] * stride, size + (window.size - 1) * stride
        stride *= window.stride
    return Field(stride, before, size)


def cells_of(modules: Iterable[nn.Module], length: int, dimension: int = 0) -> int:
    """Number of cells of the modules' map for an image of this many pixels."""
    for window in _windows(modules, dimension):
        free = length + window.pad[1] - window.size
        cells = (free + (window.stride - 1 if window.ceil else 0)) // window.stride + 1
        if cells < 1:
            return 0
        if window.ceil and (cells - 1) * window.stride >= length + window.pad[0]:
            cells -= 1  # PyTorch skips a window that begins outside the image
        length = cells
    return length


def smallest_with(modules: Iterable[nn.Module], cells: int) -> int:
    """Side in pixels of the smallest square image whose map has this many cells a side."""
    modules = list(modules)
    return max(_smallest_with(modules, cells, dimension) for dimension in (0, 1))


def _smallest_with(modules: list[nn.Module], cells: int, dimension: int) -> int:
    for window in reversed(list(_windows(modules, dimension))):
        cells = max(1, (cells - 1) * window.stride + window.size - window.pad[1])
    return cells


def _windows(modules: Iterable[nn.Module], dimension: int) -> Iterator[_Window]:
    """The convs and pools among modules and their submodules."""
    for _, module in (leaf for outer in modules for leaf in _leaves("", outer)):
        if not isinstance(module, nn.Conv2d | POOLS):
            continue
        dilation: Any = getattr(module, "dilation", 1)
        kernel, stride, spread = (
            value[dimension] if isinstance(value, tuple) else value
            for value in (module.kernel_size, module.stride, dilation)
        )
        size = spread * (kernel - 1) + 1
        pad = _pad(module.padding, size, dimension)
        yield _Window(size, stride, pad, bool(getattr(module, "ceil_mode", False)))


def _pad(padding: Any, size: int, dimension: int) -> tuple[int, int]:
    if isinstance(padding, str):
        return ((size - 1) // 2, size - 1) if padding == "same" else (0, 0)
    one = padding[dimension] if isinstance(padding, tuple) else padding
    return int(one), 2 * int(one)
