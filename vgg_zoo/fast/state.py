"""Whether a net's weights are still those that something was computed from."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

_SAMPLES = 16  # of each tensor


class WeightsState:
    """The weights of a net, and in which state they are.

    PyTorch counts changes in place, but not those through `.data` or a NumPy array that shares the memory. A sample of
    each tensor finds these if they change all of it; one of a few numbers may be missed.

    Args:
        net: Its parameters and buffers are kept, not copied.
    """

    def __init__(self, net: nn.Module) -> None:
        self._tensors = _tensors(net)
        self._versions, self._samples = _versions(self._tensors), _samples(self._tensors)

    def is_current(self) -> bool:
        """Whether nothing has changed them since."""
        return self._versions == _versions(self._tensors) and torch.equal(self._samples, _samples(self._tensors))

    def is_of(self, net: nn.Module) -> bool:
        """Whether they are the net's, all of them, and current."""
        return _identities(_tensors(net)) == _identities(self._tensors) and self.is_current()

    def __deepcopy__(self, memo: object) -> "WeightsState":
        return self  # whoever copies a net makes a new state


def _tensors(net: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(net.parameters(), net.buffers())]


def _identities(tensors: Sequence[Tensor]) -> list[tuple[int, torch.dtype, torch.Size]]:
    return [(tensor.data_ptr(), tensor.dtype, tensor.shape) for tensor in tensors]


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _samples(tensors: Sequence[Tensor]) -> Tensor:
    """Some bits of each tensor on a CPU; from a GPU they would cost a wait."""
    found = [_sample(tensor) for tensor in tensors if tensor.is_cpu]
    return torch.cat(found).view(torch.int64) if found else torch.empty(0)  # bits: NaN is not equal to itself


def _sample(tensor: Tensor) -> Tensor:
    count = min(_SAMPLES, tensor.numel())
    if tensor.dim() == 0 or not (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)):
        return tensor.flatten()[:count].double()
    return tensor.as_strided((count,), (max(1, tensor.numel() // max(1, count)),)).double()
