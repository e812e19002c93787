"""A net in the precision of the command, for training and tests."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn


class Applied(nn.Module):
    """A net under the command's autocast; the net itself does not change, and its `forward` is not wrapped.

    So the tested net is always the one that is saved, in the precision of the run. It is never the compiled one,
    because images of all shapes are tested.

    Args:
        net: Any net.
        accelerator: The accelerator whose autocast is used.
        compiled: Compile the trunk and the FC layers with torch.compile, in two parts. In a backward pass, processes
            then exchange the FC layers' gradients, nine tenths of all, while the trunk's are computed.
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
