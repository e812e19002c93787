"""Detecting whether a net's weights have changed since something was computed from them."""

import weakref
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

_SAMPLES = 16  # of each tensor
Identity = tuple[int, torch.dtype, torch.Size]


class WeightsState:
    """The weights of a net and their present state.

    PyTorch counts changes in place, but not those through `.data` or a NumPy array that shares the memory. A sample of
    each tensor detects these if they change the whole tensor; a change of a few numbers may be missed.

    Args:
        net: The net. Its parameters and buffers are not kept alive: a tensor that nobody holds cannot change.
    """

    def __init__(self, net: nn.Module) -> None:
        tensors = _tensors(net)
        self._tensors = [weakref.ref(tensor) for tensor in tensors]
        self._identities = [_identity(tensor) for tensor in tensors]
        self._states = [_state(tensor) for tensor in tensors]

    def is_current(self) -> bool:
        """Whether the weights are unchanged; a tensor that has moved to other memory left the old memory unchanged."""
        kept = [
            (tensor, state)
            for reference, identity, state in zip(self._tensors, self._identities, self._states, strict=True)
            if (tensor := reference()) is not None and _identity(tensor) == identity
        ]
        now, then = [_state(tensor) for tensor, _ in kept], [state for _, state in kept]
        same = [version for version, _ in now] == [version for version, _ in then]
        return same and torch.equal(_bits([sample for _, sample in now]), _bits([sample for _, sample in then]))

    def is_of(self, net: nn.Module) -> bool:
        """Whether these are all weights of the net, and unchanged."""
        return [_identity(tensor) for tensor in _tensors(net)] == self._identities and self._all() and self.is_current()

    def _all(self) -> bool:
        """Whether each tensor still exists: another tensor may reuse the memory of one that does not."""
        return all(reference() is not None for reference in self._tensors)

    def __deepcopy__(self, memo: object) -> "WeightsState":
        return self  # the code that copies a net makes a new state


def _tensors(net: nn.Module) -> list[Tensor]:
    return list(chain(net.parameters(), net.buffers()))


def _identity(tensor: Tensor) -> Identity:
    return tensor.data_ptr(), tensor.dtype, tensor.shape


def _state(tensor: Tensor) -> tuple[int, Tensor]:
    """PyTorch's count of changes and, on a CPU, a sample; on a GPU a sample would have to wait."""
    sample = _sample(tensor.detach()) if tensor.is_cpu else torch.empty(0, dtype=torch.float64)
    return 0 if tensor.is_inference() else tensor._version, sample


def _sample(tensor: Tensor) -> Tensor:
    count = min(_SAMPLES, tensor.numel())
    if tensor.dim() == 0 or not (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)):
        return tensor.flatten()[:count].double()
    return tensor.as_strided((count,), (max(1, tensor.numel() // max(1, count)),)).double()


def _bits(samples: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(samples)).view(torch.int64) if samples else torch.empty(0)  # bits: NaN is not equal to itself
