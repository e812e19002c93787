"""Winograd's 3 × 3 convolution F(4×4, 3×3) (Lavin & Gray, arXiv 1509.09308): matrices, rule, and a version in PyTorch.

A tile of 4 × 4 outputs sees 6 × 6 inputs. Inputs d and weight g are transformed, V = Bᵀ d B and U = G g Gᵀ, multiplied
point by point, and summed over channels: a matrix product for each of the 36 points. The outputs are Aᵀ (Σ U V) A. This
takes 36 multiplications instead of 16 · 9 = 144. The transforms are additions and small factors, so the error stays
small: about 3e-6 of the outputs' norm in float32 at 512 channels; that of the direct sum is 1e-6.

Shape suffixes: B images, C channels, K outputs, h × w cells of a map, T tiles.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE, POINTS = 4, 36

INPUT_TRANSFORM = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
"""Bᵀ, for the points 0, 1, -1, 2, -2 and ∞."""

WEIGHT_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G."""

OUTPUT_TRANSFORM = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
"""Aᵀ."""

KERNELS = ("auto", "compiled", "torch")
MOST_TILES = 128  # tiles that the PyTorch version transforms at once: 40 MB at 512 channels


def suits(conv: nn.Conv2d) -> bool:
    """Whether a layer is a 3 × 3 convolution like the paper's (Sect. 2.1): stride 1, padding 1, no groups."""
    ways = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    return ways == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def choice(kernel: str, conv: nn.Conv2d, height: int, width: int) -> tuple[str, str]:
    """The faster arithmetic for a layer at a map's size, and why.

    This is a fixed rule, based on measurements at 1 and 2 threads on CPUs with AVX2 and with AVX-512. It depends only
    on the layer and its map, so an image's map is bit-identical in every batch, process and run. It ignores the batch
    size, because the faster arithmetic is the same for 1 and 8 images.

    Args:
        kernel: "compiled" or "torch".
        conv: The layer.
        height, width: Size of its map in cells.

    Returns:
        "winograd", "first" (few input channels) or "direct"; and the reason.
    """
    channels, outputs, small = conv.in_channels, conv.out_channels, min(height, width)
    if not suits(conv):
        return "direct", "not a 3×3 convolution with stride 1 and padding 1"
    if kernel == "torch":
        if min(channels, outputs) < 256 or small < 20:
            return "direct", "PyTorch's transforms are faster only from 256 channels and maps of 20×20"
        return "winograd", "a quarter of the multiplications, by PyTorch"
    if channels <= 4 and outputs % 16 == 0:
        return "first", f"{channels} channels: too few to transform; one pass over the image"
    if channels % 16 or outputs % 16 or min(channels, outputs) < 32:
        return "direct", "the kernel takes multiples of 16 channels, and is faster only from 32"
    if small < 7:
        return "direct", "a small map: reading four times the weights costs more than it saves"
    return "winograd", "a quarter of the multiplications"


LEAST_WINDOWS = 30  # of a map: with fewer, transforming the weight takes longer than it saves


def choice_of_fc(kernel: str, panel: int, layer: nn.Conv2d, height: int, width: int) -> tuple[str, str]:
    """The faster arithmetic for an FC layer over a map, and why: a rule like `choice`, for the same reasons.

    Args:
        kernel: "compiled" or "torch".
        panel: The kernel takes multiples of this many outputs.
        layer: The layer, as a convolution.
        height, width: Size of its windows' map in cells.

    Returns:
        "winograd" or "product"; and the reason.
    """
    fits = layer.kernel_size == (7, 7) and layer.in_channels % 16 == 0 and layer.out_channels % panel == 0
    if kernel == "compiled" and fits and height * width >= LEAST_WINDOWS and layer.weight.is_contiguous():
        return "winograd", "windows overlap: a third of the multiplications by F(2×2, 7×7)"
    return "product", "limited by reading the weights" if height * width == 1 else "a product over the map's windows"


@lru_cache(maxsize=8)
def _squared(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
    """The Kronecker square of a matrix, which transforms both dimensions at once."""
    matrix = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return torch.kron(matrix, matrix).to(dtype)


def transformed_weight(weight: Tensor) -> Tensor:
    """U = G g Gᵀ, (36, C, K), from a weight (K, C, 3, 3); computed in float64."""
    matrix = torch.tensor(WEIGHT_TRANSFORM, dtype=torch.float64, device=weight.device)
    u = torch.einsum("ia,kcab,jb->ijck", matrix, weight.double(), matrix)
    return u.flatten(0, 1).to(weight.dtype).contiguous()


def convolve(x: Tensor, u: Tensor, bias: Tensor) -> Tensor:
    """A 3 × 3 convolution with padding 1 in plain PyTorch, in bounded memory.

    Args:
        x: (B, h, w, C).
        u: (36, C, K), of `transformed_weight`.
        bias: (K,).

    Returns:
        (B, h, w, K).
    """
    batch, height, width, _ = x.shape
    down, across = -(-height // TILE), -(-width // TILE)
    padded = F.pad(x, (0, 0, 1, 1 + across * TILE - width, 1, 1 + down * TILE - height))
    y = x.new_empty(batch, height, width, u.shape[2])
    strip = max(1, MOST_TILES // across)
    for image, out in zip(padded, y, strict=True):  # one by one: an image's result must not depend on the others
        for top in range(0, down, strip):
            rows = image[top * TILE : (top + strip) * TILE + 2]
            part = out[top * TILE : (top + strip) * TILE]
            part.copy_(_strip(rows, u, bias)[: part.shape[0], :width])
    return y


def _strip(rows: Tensor, u: Tensor, bias: Tensor) -> Tensor:
    """The outputs for rows of tiles, (4 · down + 2, 4 · across + 2, C) → (4 · down, 4 · across, K)."""
    channels, outputs = u.shape[1:]
    d = rows.unfold(0, TILE + 2, TILE).unfold(1, TILE + 2, TILE)  # (down, across, C, 6, 6)
    down, across = d.shape[:2]
    d = d.permute(3, 4, 0, 1, 2).reshape(POINTS, -1)
    v = (_squared(INPUT_TRANSFORM, u.dtype) @ d).view(POINTS, down * across, channels)
    y = _squared(OUTPUT_TRANSFORM, u.dtype) @ torch.bmm(v, u).view(POINTS, -1)
    y = y.view(TILE, TILE, down, across, outputs).permute(2, 0, 3, 1, 4)
    return y.reshape(down * TILE, across * TILE, outputs) + bias
