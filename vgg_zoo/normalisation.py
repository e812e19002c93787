"""Local response normalisation (Sect. 2.1), a layer of net A-LRN only."""

import torch
import torch.nn.functional as F
from timm.models import register_notrace_function
from torch import Tensor, nn


@register_notrace_function
@torch.fx.wrap
def normalise(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """x / (k + α/n Σ x²)^β with the sum over n neighbouring channels; equals `F.local_response_norm` up to rounding.

    PyTorch uses an average pool over three dimensions, whose backward pass on CUDA has no deterministic algorithm. This
    function shifts the squares along the channels and adds them, which is deterministic and faster on a CPU.

    Args:
        x: (B, C, ...); for half precision, the sum is taken in float32, where a square cannot overflow.
        size: n, at least 1.
        alpha, beta, k: Parameters of the formula.

    Returns:
        A tensor with the shape and type of x.
    """
    wide = x.float() if x.dtype == torch.float16 or x.dtype == torch.bfloat16 else x
    squares = wide * (alpha / size) * wide
    squares = F.pad(squares, [0, 0] * (x.dim() - 2) + [size // 2, (size - 1) // 2])
    base = squares.narrow(1, 0, x.shape[1]) + k
    for shift in range(1, size):
        base += squares.narrow(1, shift, x.shape[1])
    return (wide / base.pow(beta)).to(x.dtype)


class LocalResponseNormalisation(nn.LocalResponseNorm):
    """`nn.LocalResponseNorm` with the same arguments, deterministic on CUDA in both directions; see `normalise`."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) → the same shape and type."""
        return normalise(x, self.size, self.alpha, self.beta, self.k)
