"""Dropout with masks of the global batch, so that a run is the same on any number of processes."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class GlobalDropout(nn.Module):
    """Dropout with a mask that is set from outside before the forward pass."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels) or (b, channels, 1, 1) → the same shape; in eval mode, or at rate 0, x itself."""
        if not self.training or self.rate == 0:
            return x
        if x.ndim == 4 and x.shape[2:] != (1, 1):
            raise ValueError(
                f"the net's map of a training crop has {x.shape[2]} × {x.shape[3]} positions and must have one; take a "
                "smaller crop: --set crop_size=..."
            )
        if self.mask is None or self.mask.shape != x.shape[:2]:
            raise ValueError(
                f"a map of {tuple(x.shape)} (B, C, h, w) came to dropout with a mask of "
                f"{None if self.mask is None else tuple(self.mask.shape)}; masks must be set for exactly these images"
            )
        return x * (self.mask.to(x.dtype) / (1 - self.rate)).view(x.shape)


class GlobalMasks:
    """The dropout masks of a net of the zoo, for one process's share of every global batch.

    Every process draws a mask for the whole batch from (seed, step, layer), in the same way for every device, and takes
    the rows that go through its net.

    Args:
        net: The net; its two dropout layers are replaced in place.
        seed: Seed of the masks.
        batch_size: Images of the global batch.
        share: This process's rows of it.
    """

    def __init__(self, net: Any, seed: int, batch_size: int, share: slice) -> None:
        self.seed, self.batch_size, self.share = seed, batch_size, share
        self.channels = net.head_hidden_size
        self.layers = [GlobalDropout(net.pre_logits.drop.p), GlobalDropout(net.head.drop.p)]
        net.pre_logits.drop, net.head.drop = self.layers
        self.masks: list[Tensor] = []
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[list[Tensor]]] | None = None

    def draw(self, step: int, device: torch.device) -> None:
        """Put the masks of a step on the device; a thread draws those of the next step meanwhile."""
        if self._thread is None:
            begin = partial(torch.cuda.set_device, device) if device.type == "cuda" else None
            self._thread = ThreadPoolExecutor(1, initializer=begin)
        ahead, drawn = self._next or (None, None)
        masks = drawn.result() if drawn is not None and ahead == step else self._drawn(step, device)
        self._next = step + 1, self._thread.submit(self._drawn, step + 1, device)
        self.masks = [mask.to(device, non_blocking=True) for mask in masks]

    def _drawn(self, step: int, device: torch.device) -> list[Tensor]:
        masks = []
        for place, layer in enumerate(self.layers):
            bits = np.random.Philox(key=self.seed, counter=[0, 2, step, place])
            numbers = bits.random_raw(-(-self.batch_size * self.channels // 4)).view(np.uint16)
            kept = numbers[: self.batch_size * self.channels] >= round(layer.rate * 2**16)
            own = torch.from_numpy(kept.reshape(self.batch_size, self.channels)[self.share])
            masks.append(own.pin_memory() if device.type == "cuda" else own)
        return masks

    def select(self, rows: slice) -> None:
        """Set the masks of some rows of this process's share, before they go through the net."""
        for layer, mask in zip(self.layers, self.masks, strict=True):
            layer.mask = mask[rows]
