"""The arithmetic of image descriptors (Appendix B), and single layers' maps, without scikit-learn."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgg_zoo.dense import pooling, strips_of, tiled_features, tiles
from vgg_zoo.fast.copies import arithmetic, net_for
from vgg_zoo.images.inputs import Rescaled, batches_of_one_shape, net_input
from vgg_zoo.layers import check_is_vgg, hidden_map, layer_maps, layer_of, layers_of, smallest_side, trunk_modules

COMBINE = ("average", "stack")
L2 = ("scale", "final")


class DenseDescriptor:
    """A net's image descriptor as a function of rescaled images (Appendix B).

    The layer's map, after the ReLU, is averaged over positions and with that of the mirrored image, for each scale; the
    scales are averaged or stacked.

    Args:
        net: A net of the zoo or timm's own `vgg*`; put into eval mode.
        layer: "fc7", "fc6", or a conv or max-pool: `vgg_zoo.layers.layers_of(net)`.
        scales: Q, smallest sides in pixels.
        combine: "average" or "stack" the scales.
        flip: Average with the mirrored image.
        l2: "scale" normalises each scale's descriptor before they are combined, "final" the combined one.
        ceil_mode: Max-pools round their size up, as Caffe's did.
        most_pixels: That go through the net at once.
        exact: Use the net itself. Otherwise, in float32 on a CPU, `fast_inference`'s copy of it does the work.

    Raises:
        ValueError: No VGG, an unknown layer, combine or l2, no scale, or one below the smallest; the message has the
            options.
    """

    def __init__(
        self,
        net: nn.Module,
        layer: str = "fc7",
        scales: Sequence[int] = (256, 384, 512),
        combine: str = "average",
        flip: bool = True,
        l2: str = "scale",
        *,
        ceil_mode: bool = False,
        most_pixels: int = 1024 * 1024,
        exact: bool = False,
    ) -> None:
        check_is_vgg(net, classifies=False)
        self.layer = layer_of(net, layer)
        for name, value, options in (("combine", combine, COMBINE), ("l2", l2, L2)):
            if value not in options:
                raise ValueError(f"unknown {name} {value!r}; choose from {', '.join(options)}")
        self.scales = tuple(int(scale) for scale in scales)
        side = smallest_side(net, self.layer)
        if not self.scales or min(self.scales) < side:
            raise ValueError(
                f"scales must be smallest sides of at least {side} pixels for {layer}; got {self.scales}"
                + (" (layers of the trunk take 32)" if self.layer.fully_connected else "")
            )
        if most_pixels < side**2:
            raise ValueError(f"most_pixels must be at least {side}², the smallest image; got {most_pixels}")
        self.model: Any = net.eval()
        self.combine, self.flip, self.l2 = combine, bool(flip), l2
        self.ceil_mode, self.most_pixels = bool(ceil_mode), int(most_pixels)
        self.exact = bool(exact)

    @property
    def arithmetic(self) -> str:
        """How the net is computed as it is now: "winograd" by `fast_inference`'s copy, or "exact"."""
        return arithmetic(self.model, self.exact)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the net, as plain data."""
        return {
            "layer": self.layer.name,
            "scales": list(self.scales),
            "combine": self.combine,
            "flip": self.flip,
            "l2": self.l2,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def size(self) -> int:
        """D: the layer's channels, times the scales if they are stacked."""
        return self.layer.channels * (len(self.scales) if self.combine == "stack" else 1)

    @torch.inference_mode()
    def of_rescaled(self, images: Sequence[Rescaled | None]) -> Tensor:
        """Descriptors of images that `vgg_zoo.images.inputs.at_scales` has rescaled.

        Args:
            images: For each image a (3, H, W) tensor of uint8 for each scale, in order; None gives a row of NaN.

        Returns:
            (N, D), float32, on the CPU.
        """
        found = torch.full((len(images), len(self.scales), self.layer.channels), torch.nan, dtype=torch.float64)
        for place in range(len(self.scales)):
            of_scale = [None if image is None else image[place] for image in images]
            for batch, places in batches_of_one_shape(of_scale, self.most_pixels):
                found[places, place] = self._of_scale(batch)
        return self._combined(found).float()

    def _of_scale(self, pixels: Tensor) -> Tensor:
        """(B, C), float64: averaged over positions and flips, of images of one shape."""
        net = net_for(self.model, self.exact)
        with pooling(net, self.ceil_mode):
            found = self._averages(net, pixels)
            return (found + self._averages(net, pixels.flip(-1))) / 2 if self.flip else found

    def _combined(self, found: Tensor) -> Tensor:
        """(N, scales, C) → (N, D)."""
        if self.l2 == "scale":
            found = F.normalize(found, dim=2)
        found = found.mean(1) if self.combine == "average" else found.flatten(1)
        return F.normalize(found, dim=1) if self.l2 == "final" else found

    def _averages(self, net: Any, pixels: Tensor) -> Tensor:
        """(B, C) of (B, 3, H, W): the layer's mean over positions, of a batch or, by tiles, of each image."""
        if pixels.shape[2] * pixels.shape[3] > self.most_pixels:
            return torch.stack([self._tiled_average(net, image) for image in pixels])
        return _mean_over_positions([self._map(net, net_input(net, pixels))])

    def _tiled_average(self, net: Any, pixels: Tensor) -> Tensor:
        """(C,) of one image (3, H, W) of any size: the trunk by tiles, the FC layers by strips of its whole map."""
        prepare = partial(net_input, net)
        if not self.layer.fully_connected:
            modules = trunk_modules(net)[: self.layer.after]
            parts = (tile for _, tile in tiles(modules, partial(self._map, net), pixels, prepare, self.most_pixels))
            return _mean_over_positions(parts)[0]
        features = tiled_features(net, pixels, prepare, self.most_pixels)
        strips = strips_of(features, int(net.pre_logits.input_kernel_size))
        return _mean_over_positions(hidden_map(net, strip, self.layer) for strip in strips)[0]

    def _map(self, net: Any, images: Tensor) -> Tensor:
        return layer_maps(net, images, [self.layer])[self.layer.name]


def _mean_over_positions(parts: Iterable[Tensor]) -> Tensor:
    """(B, C), float64 on the CPU: the mean over all positions of maps (B, C, h, w) that are parts of one."""
    total, cells = torch.zeros((), dtype=torch.float64), 0
    for part in parts:
        count = part.shape[2] * part.shape[3]
        half = part.dtype in (torch.bfloat16, torch.float16)  # sums need more
        total = total + part.mean((2, 3), dtype=torch.float32 if half else None).cpu().double() * count
        cells += count
    return total / cells


def feature_maps(
    net: nn.Module, images: Tensor, layers: Sequence[str], *, relu: bool = True, ceil_mode: bool = False
) -> dict[str, Tensor]:
    """Maps of some layers of a net, in one pass that ends with the last of them.

    Args:
        net: A net of the zoo or timm's own `vgg*`; put into eval mode.
        images: (B, 3, H, W): RGB as floats in 0–1, or as uint8 in 0–255. If they require gradients, the maps are
            differentiable with respect to them, never to the weights.
        layers: Names, as `vgg_zoo.layers.layers_of(net)` has them.
        relu: After each layer's ReLU, or before it.
        ceil_mode: Max-pools round their size up.

    Returns:
        For each layer, in the order asked for, (B, C, h, w) on the net's device.

    Raises:
        ValueError: No VGG, an unknown layer or none, another shape, floats far beyond 1, or a side under 32 pixels.
    """
    check_is_vgg(net, classifies=False)
    if not layers:
        raise ValueError(f"no layers; choose from {', '.join(layers_of(net))}")
    chosen = [layer_of(net, name) for name in layers]
    pixels = _in_255(images)
    differentiable = images.requires_grad and torch.is_grad_enabled()
    with _frozen(net.eval()) if differentiable else torch.no_grad(), pooling(net, ceil_mode):
        return layer_maps(net, net_input(net, pixels), chosen, relu)


_FAR_BEYOND = 4.0  # what is optimised, as in style transfer, leaves 0–1 a little


def _in_255(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.numel() == 0 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(
            f"images must be (B, 3, H, W), floats in 0–1 or uint8 in 0–255; got {tuple(images.shape)} of {images.dtype}"
        )
    if images.dtype == torch.uint8:
        return images
    if (largest := images.detach().abs().max().item()) > _FAR_BEYOND:
        raise ValueError(f"floats are RGB in 0–1; got {largest:g}. Divide by 255, or give uint8")
    return images * 255


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """Weights that a graph built meanwhile leaves out: only the image has a gradient, at half the cost."""
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
