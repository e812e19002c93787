"""A net as a command computes it, in training and in tests alike: in the precision of the command."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn


class Applied(nn.Module):
    """A net under the command's autocast; the net itself stays as it is, without any wrapper around its `forward`.

    So there is one answer to "which net is tested": the one that is saved, in the precision of the run. It is never the
    compiled one, as images of all shapes are tested.

    Args:
        net: Any.
        accelerator: Whose autocast is taken.
        compiled: Run what torch.compile makes of the trunk, and of the FC layers: in two parts, so that in a backward
            pass processes send each other the FC layers' gradients, nine tenths of all, while the trunk's are computed.
    """

    def __init__(self, net: Any, accelerator: Accelerator, compiled: bool = False) -> None:
        super().__init__()
        self.net = net
        self._autocast = accelerator.autocast
        self.training = net.training
        self._compiled = [torch.compile(part) for part in (net.forward_features, net.forward_head) if compiled]

    def forward(self, images: Tensor) -> Tensor:
        """The net's outputs, at least float32."""
        outputs = images
        with self._autocast():
            for part in self._compiled or [self.net]:
                outputs = part(outputs)
        return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
