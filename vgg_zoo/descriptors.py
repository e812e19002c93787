"""Image descriptors (Appendix B) and the maps of single layers, without scikit-learn."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from vgg_zoo.dense import DenseNet, dense_input, even_parts, strips_of, tiled_features, tiles
from vgg_zoo.devices import constant_like, widest
from vgg_zoo.fast.copies import net_for, own_arithmetic
from vgg_zoo.images.inputs import Rescaled, net_input
from vgg_zoo.inference import inference_view
from vgg_zoo.layers import check_is_vgg, hidden_map, layer_maps, layer_of, layers_of, smallest_side, trunk_modules
from vgg_zoo.model import input_channels
from vgg_zoo.pretrained import described, net_of
from vgg_zoo.weights.settings import Net, settled

InputRange = tuple[float, float] | str
"""The range of images given as tensors: the values of black and white, or "imagenet"."""

COMBINE = ("average", "stack")
L2 = ("scale", "final")


class DenseDescriptor(DenseNet):
    """A net's image descriptor as a function of rescaled images (Appendix B).

    For each scale, the layer's map after the ReLU is averaged over positions and over the image and its mirror image.
    The scales are averaged or stacked.

    Args:
        net: A net of the zoo or timm's own `vgg*`, whose mode does not change; or a folder or name, as in
            `DenseEvaluator`.
        layer: "fc7", "fc6", or a conv or max-pool: `vgg_zoo.layers.layers_of(net)`.
        scales: Q, smallest sides in pixels, or one. None takes the net's own, as in `DenseEvaluator`; the same holds
            for `flip` and `ceil_mode`.
        combine: "average" or "stack" the scales.
        flip: Average with the mirrored image.
        l2: "scale" normalises each scale's descriptor before they are combined, "final" the combined one.
        ceil_mode: Max-pools round their size up, as in Caffe.
        most_pixels: Pixels that go through the net at once; None as in `DenseEvaluator`.
        device: As in `DenseEvaluator`.
        exact: Use the net itself. Otherwise, in float32 on a CPU, the copy by `fast_inference` is used.
        precision: As in `DenseEvaluator`.

    Raises:
        ValueError: The net is no VGG; layer, combine or l2 is unknown; or scales are missing or too small. The message
            lists the options.
    """

    def __init__(
        self,
        net: Net,
        layer: str = "fc7",
        scales: Sequence[int] | int | None = None,
        combine: str = "average",
        flip: bool | None = None,
        l2: str = "scale",
        *,
        ceil_mode: bool | None = None,
        most_pixels: int | None = None,
        device: torch.device | str | None = "auto",
        exact: bool = False,
        precision: str | None = None,
    ) -> None:
        model = net_of(net, device)
        check_is_vgg(model, classifies=False)
        self.layer = layer_of(model, layer)
        for name, value, options in (("combine", combine, COMBINE), ("l2", l2, L2)):
            if value not in options:
                raise ValueError(f"unknown {name} {value!r}; choose from {', '.join(options)}")
        chosen, settings_from = settled({"scales": scales, "flip": flip, "ceil_mode": ceil_mode}, net)
        what = f" for {layer}" + self.layer.fully_connected * " (layers of the trunk take 32)"
        side = smallest_side(model, self.layer)
        super().__init__(model, described(net), chosen, settings_from, side, what, most_pixels, exact, precision)
        self.combine, self.l2 = combine, l2

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
            images: For each image, a (3, H, W) tensor of uint8 for each scale, in order; None gives a row of NaN.

        Returns:
            (N, D), float32, on the CPU.
        """
        found = torch.full((len(images), len(self.scales), self.layer.channels), torch.nan, dtype=torch.float64)
        view = inference_view(net_for(self.model, self.exact, self.precision), self.ceil_mode)
        rows, scales, order = [], [], []
        for place, batch, places in self.batches(images):
            with own_arithmetic(view, self.precision):
                rows.append(self.both_ways(partial(self._averages, view), batch))
            scales += [place] * len(places)
            order += places
        if rows:
            found[order, scales] = torch.cat(rows).cpu().double()
        return self._combined(found).float()

    def _combined(self, found: Tensor) -> Tensor:
        """(N, scales, C) → (N, D)."""
        if self.l2 == "scale":
            found = F.normalize(found, dim=2)
        found = found.mean(1) if self.combine == "average" else found.flatten(1)
        return F.normalize(found, dim=1) if self.l2 == "final" else found

    def _averages(self, net: Any, pixels: Tensor) -> Tensor:
        """(B, C) from (B, 3, H, W): the layer's mean over positions, computed in parts, or image by image in tiles."""
        if pixels.shape[2] * pixels.shape[3] > self.most_pixels:
            return torch.stack([self._tiled_average(net, image) for image in pixels])
        parts = even_parts(pixels, self.most_pixels)
        return torch.cat([_mean_over_positions([self._map(net, dense_input(net, part))]) for part in parts])

    def _tiled_average(self, net: Any, pixels: Tensor) -> Tensor:
        """(C,) from one image (3, H, W) of any size: the trunk in tiles, the FC layers in strips of its whole map."""
        prepare = partial(dense_input, net)
        if not self.layer.fully_connected:
            modules, run = trunk_modules(net)[: self.layer.after], partial(self._map, net)
            parts = (tile for _, tile in tiles(modules, run, pixels, prepare, self.most_pixels))
            return _mean_over_positions(parts)[0]
        features = tiled_features(net, pixels, prepare, self.most_pixels)
        strips = strips_of(features, int(net.pre_logits.input_kernel_size))
        return _mean_over_positions(hidden_map(net, strip, self.layer) for strip in strips)[0]

    def _map(self, net: Any, images: Tensor) -> Tensor:
        return layer_maps(net, images, [self.layer])[self.layer.name]


def _mean_over_positions(parts: Iterable[Tensor]) -> Tensor:
    """(B, C) in the device's `widest` type: the mean over all positions of the parts (B, C, h, w) of one map."""
    total, cells = torch.zeros(()), 0
    for part in parts:
        count = part.shape[2] * part.shape[3]
        half = part.dtype in (torch.bfloat16, torch.float16)  # sums need more bits
        mean = part.mean((2, 3), dtype=torch.float32 if half else None)
        total = total + mean.to(widest(part.device)) * count
        cells += count
    return total / cells


def feature_maps(
    net: nn.Module,
    images: Tensor,
    layers: Sequence[str] | str,
    *,
    relu: bool = True,
    ceil_mode: bool = False,
    input_range: InputRange | None = None,
) -> dict[str, Tensor]:
    """Maps of some layers of a net, from one pass that ends with the last of these layers.

    Args:
        net: A net of the zoo or timm's own `vgg*`. It runs in eval mode; its mode and buffers do not change.
        images: (B, 3, H, W), RGB, on any device; (B, 1, H, W) for a net of grey images. If they require gradients, the
            maps are differentiable with respect to them, never to the weights.
        layers: Names of `vgg_zoo.layers.layers_of(net)`, or one.
        relu: Take the maps after each layer's ReLU, not before it.
        ceil_mode: Max-pools round their size up.
        input_range: The range of the images: (black, white), such as (-1, 1), or "imagenet", normalised by ImageNet's
            mean and deviation. None: uint8 in 0–255, or floats in 0–1. An optimised image may exceed this range by a
            quarter.

    Returns:
        For each layer, in the given order, (B, C, h, w) on the net's device.

    Raises:
        ValueError: The net is no VGG, a layer is unknown or none is given, the images have another shape or clearly
            another range, or a side is under 32 pixels.
    """
    check_is_vgg(net, classifies=False)
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise ValueError(f"no layers; choose from {', '.join(layers_of(net))}")
    chosen = [layer_of(net, name) for name in names]
    pixels = _in_255(images, input_channels(net), input_range)
    differentiable = images.requires_grad and torch.is_grad_enabled()
    view = inference_view(net, ceil_mode, frozen=differentiable)
    with nullcontext() if differentiable else torch.no_grad():
        return layer_maps(view, net_input(view, pixels), chosen, relu)


_BEYOND = 0.25  # of 0–1: an optimised image, as in style transfer, exceeds the range a little


def _in_255(images: Tensor, channels: int, input_range: InputRange | None) -> Tensor:
    """Images as floats in 0–255; images of uint8 are returned unchanged."""
    shape = tuple(images.shape)
    numbers = images.dtype == torch.uint8 or images.is_floating_point()
    if images.ndim != 4 or images.numel() == 0 or not numbers or images.shape[1] not in {3, channels}:
        last = images.ndim == 4 and images.shape[3] in (1, 3, 4)
        raise ValueError(
            f"images must be (B, {channels}, H, W), floats or uint8; got {shape} of {images.dtype}"
            + "; for (B, H, W, C) give images.permute(0, 3, 1, 2)" * last
            + "; the fourth channel of RGBA is no colour: images[:, :3]" * (images.ndim == 4 and images.shape[1] == 4)
            + "; grey ones as images.expand(-1, 3, -1, -1)" * (images.ndim == 4 and images.shape[1] == 1 != channels)
        )
    if input_range is None:
        if images.dtype == torch.uint8:
            return images
        least, most = (value.item() for value in images.detach().aminmax())
        if not (least >= -_BEYOND and most <= 1 + _BEYOND):
            raise ValueError(
                f"floats are RGB in 0–1; got {least:g} to {most:g}. Say what they are: input_range=(0, 255), (-1, 1), "
                '"imagenet" for what ImageNet\'s mean and deviation normalised, or (0, 1) if they are meant like this'
            )
        return images * 255
    images = images if images.is_floating_point() else images.float()
    if input_range == "imagenet":
        mean, deviation = (constant_like(images, one) for one in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        return (images * deviation + mean) * 255
    if isinstance(input_range, str) or len(input_range) != 2 or not input_range[0] < input_range[1]:
        raise ValueError(f'input_range must be (black, white) or "imagenet"; got {input_range!r}')
    black, white = input_range
    return (images - black) * (255 / (white - black))
