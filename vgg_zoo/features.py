"""Image descriptors (Appendix B) as a scikit-learn transformer: a frozen net applied densely, its map averaged.

scikit-learn is optional, so importing vgg_zoo must not need it. We still inherit its base classes instead of imitating
them, because the interface of estimators changes between versions (tags, routing, HTML). So this module is imported
only on the first use of `vgg_zoo.ImageDescriptor`. `vgg_zoo.descriptors` does not need scikit-learn.
"""

import threading
from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgg_zoo.extras import install

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError(
        f"vgg_zoo.ImageDescriptor is a scikit-learn transformer: {install('sklearn')}, or use "
        "vgg_zoo.descriptors.DenseDescriptor, which needs no scikit-learn"
    ) from error

from vgg_zoo.dense import of_each
from vgg_zoo.descriptors import DenseDescriptor, InputRange, feature_maps
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.each import Each, check_on_error, progress
from vgg_zoo.images.inputs import (
    Box,
    Input,
    Rescaled,
    at_scales,
    count_of,
    decoded,
    part_in_box,
    size_of,
    with_boxes,
)
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.pretrained import net_of

_DESCRIPTORS = ("layer", "scales", "combine", "flip", "l2", "ceil_mode", "most_pixels", "exact", "precision")
"""Parameters that are passed to `DenseDescriptor`."""

Descriptors = np.ndarray[Any, np.dtype[np.float32]]

_MOST_NETS = 4

_loading = threading.Lock()
"""A second thread waits instead of loading the same half gigabyte."""

_unpickled: dict[str, nn.Module] = {}
"""Nets of the estimators that this process has unpickled, so that a worker does not load one for each task."""


def _kept(name: str | Path, device: torch.device | str | None, nets: dict[str, nn.Module]) -> nn.Module:
    """The net by its name or folder from `nets`, loaded if it is not there; the oldest makes room for it."""
    folder = Path(name)  # a folder that is trained again has another modification time
    key = f"{name} {folder.stat().st_mtime_ns}" if folder.is_dir() else str(name)
    with _loading:
        if key not in nets:
            while len(nets) >= _MOST_NETS:
                nets.pop(next(iter(nets)))
            nets[key] = net_of(name, device)
        return nets[key]


class ImageDescriptor(TransformerMixin, BaseEstimator):
    """The image descriptors of Appendix B: the net without its last layer, dense, averaged over positions and flips.

    Every image is rescaled isotropically to each scale Q, and the net is applied to the whole image. The layer's map
    after the ReLU is averaged over positions and over the image and its mirror image. The descriptors of the scales are
    averaged or stacked. Nothing is learned: `fit` only checks the parameters. `sklearn.pipeline.FeatureUnion` stacks
    two nets.

    Clones share the net, which never changes. A pickle holds the parameters. A net given by name or folder is loaded
    again once in each process that needs it, such as each worker of `n_jobs=2`. A module is part of the pickle: every
    task has a copy, and the caches of `Pipeline(memory=...)` recognise it only in the same process. Under
    `joblib.parallel_config("threading")` all threads share one net.

    Args:
        model: A name that timm loads with its weights, the folder of a trained net, or a net, whose mode does not
            change.
        layer: "fc7" (4096-D), "fc6", or any conv or max-pool by the paper's name, "conv3_2", "pool5". Layers of the
            trunk need no FC weights. Later layers are not computed.
        scales: Q, one or several smallest sides in pixels: for fc6 and fc7 at least the net's crop (224), otherwise at
            least 32. None takes the net's own, as in `DenseEvaluator`, or the paper's 256, 384, 512 if it has none; the
            same holds for `flip` and `ceil_mode`.
        combine: How the scales are combined: "average" gives D = C channels of the layer, "stack" D = C · len(scales).
        flip: Average with the mirrored image.
        l2: "scale" normalises each scale's descriptor to length 1 before they are combined, "final" the combined one. A
            descriptor of zeros does not change.
        on_error: What to do with an image that cannot be decoded: "raise", or "nan": its row is NaN, and a warning
            counts and names all such images. Row i is always image i.
        ceil_mode: Max-pools round their size up, as in Caffe, which Oxford used.
        most_pixels: Pixels that go through the net at once. Smaller images are batched up to it, larger ones go in
            tiles. None: 2²⁰ on a CPU; on a GPU it depends on the memory.
        show_progress: Show a progress bar with the rate and, if the number of images is known, the remaining time.
        device: The device that the net moves to, such as "cuda:1". "auto": a net given by name or folder goes to the
            GPU if CUDA has one, and a module stays where it is. None: the net stays; a net that is loaded here is on
            the CPU.
        exact: Use the net itself. Otherwise, in float32 on a CPU, the copy by `fast_inference` is used: it is several
            times as fast and equal up to rounding. `feature_maps` always uses the net itself.
        precision: "bf16", on a CPU with AMX or AVX512-BF16: FC layers (with AMX, also convolutions) multiply bfloat16.
            "fp32": float32 even under autocast. None: the precision of the net and autocast.
    """

    def __init__(
        self,
        model: nn.Module | str | Path = "vgg_d.oxford_in1k",
        layer: str = "fc7",
        scales: Sequence[int] | int | None = None,
        combine: str = "average",
        flip: bool | None = None,
        l2: str = "scale",
        *,
        on_error: str = "raise",
        show_progress: bool = False,
        ceil_mode: bool | None = None,
        most_pixels: int | None = None,
        device: torch.device | str | None = "auto",
        exact: bool = False,
        precision: str | None = None,
    ) -> None:
        self.model = model
        self.layer = layer
        self.scales = scales
        self.combine = combine
        self.flip = flip
        self.l2 = l2
        self.on_error = on_error
        self.show_progress = show_progress
        self.ceil_mode = ceil_mode
        self.most_pixels = most_pixels
        self.device = device
        self.exact = exact
        self.precision = precision
        self._nets: dict[str, nn.Module] = {}

    def fit(self, X: Any, y: Any = None) -> "ImageDescriptor":
        """Check the parameters; images and labels are ignored.

        Raises:
            ValueError: layer, combine, l2 or on_error is unknown, or scales are too small; the message lists the
                options.
            OSError: The weights cannot be downloaded.
        """
        self._descriptor()
        return self

    def transform(self, X: Iterable[Input | tuple[Input, Box]], boxes: Iterable[Box] | None = None) -> Descriptors:
        """Descriptors of images of any sizes, decoded once each, in bounded memory.

        Args:
            X: PIL images, paths, (H, W) or (H, W, 3) arrays of uint8, files' bytes, or a `datasets` column of type
                Image, decoded or not. A pair (image, box) is an image with its box, as in `boxes`; pairs can go through
                a `Pipeline`.
            boxes: One for each image (Appendix B, the action task): (left, top, right, bottom) in pixels. The box is
                described like an image of its own; its descriptor follows that of the whole image.

        Returns:
            (N, D), float32; with boxes (N, 2 · D). Row i is image i.

        Raises:
            ValueError: As in `fit`; or there are no images; or only some images have boxes; or a box has no pixel of
                the image.
            BadImageError: An image cannot be decoded and `on_error` is "raise"; the message has its position and name.
        """
        descriptor = self._descriptor()
        images, boxed = with_boxes(X, boxes)
        parts = 2 if boxed else 1

        def prepare(pixels: Pixels, named: str, box: Box | None) -> list[Rescaled]:
            found = [pixels] if box is None else [pixels, part_in_box(pixels, box, named)]
            return [at_scales(part, descriptor.scales) for part in found]

        each = Each(images, prepare, lambda found: sum(map(size_of, found)), self.on_error)
        rescaled = (part for found in each for part in found or [None] * parts)
        with progress(count_of(X), self.show_progress, parts) as bar:
            rows = of_each(descriptor.of_rescaled, rescaled, descriptor.device, bar).view(-1, descriptor.size * parts)
        each.warn(len(rows))
        return rows.numpy()

    def feature_maps(
        self,
        image: Input | Tensor,
        layers: Sequence[str] | str | None = None,
        *,
        relu: bool = True,
        scale: int | None = None,
        input_range: InputRange | None = None,
    ) -> dict[str, Tensor]:
        """The layers' maps of an image, for perceptual losses and style transfer.

        Args:
            image: A PIL image, path or array; or a tensor (B, 3, H, W) on any device, RGB. If it requires gradients,
                the maps are differentiable with respect to it, never to the weights.
            layers: One or several names, as in `layer`; None takes `layer`.
            relu: Take the maps after the ReLU of each layer, not before it; a max-pool has none.
            scale: Q, to rescale the image first; not for tensors. None keeps the size.
            input_range: The range of a tensor, as in `vgg_zoo.descriptors.feature_maps`: (black, white) or "imagenet";
                None: uint8 in 0–255 or floats in 0–1.

        Returns:
            For each layer, in the given order, (B, C, h, w) on the net's device. The net runs once, without tiles, up
            to the last of these layers.

        Raises:
            ValueError: A layer is unknown, a tensor has another shape or range, or a scale is given with a tensor.
        """
        net = self._net()
        if isinstance(image, Tensor):
            if scale is not None:
                raise ValueError(f"scale={scale} is for images; rescale a tensor yourself, differentiably if needed")
            pixels = image
        else:
            found = decoded(image)
            pixels = (torch.from_numpy(found).permute(2, 0, 1) if scale is None else rescale(found, scale))[None]
        wanted = self.layer if layers is None else layers
        ceil_mode = self._descriptor().ceil_mode
        return feature_maps(net, pixels, wanted, relu=relu, ceil_mode=ceil_mode, input_range=input_range)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, Any]:
        """(D,), names of the columns without boxes: "fc7_0", or "fc7_q256_0" for stacked scales."""
        descriptor = self._descriptor()
        scales = [f"_q{scale}" for scale in descriptor.scales] if self.combine == "stack" else [""]
        channels = range(descriptor.layer.channels)
        return np.array([f"{self.layer}{scale}_{channel}" for scale in scales for channel in channels], dtype=object)

    def _descriptor(self) -> DenseDescriptor:
        """The `DenseDescriptor` for the current parameters, which may have changed since the last call."""
        check_on_error(self.on_error)
        return DenseDescriptor(self._net(), device=None, **{name: getattr(self, name) for name in _DESCRIPTORS})

    def _net(self) -> nn.Module:
        """The net, loaded once for this estimator and all its clones."""
        net = self.model
        kept = _kept(net, self.device, self._nets) if isinstance(net, str | Path) else net
        return net_of(kept, self.device)

    def __sklearn_clone__(self) -> "ImageDescriptor":
        clone = copy(self)
        clone._nets = self._nets  # scikit-learn's own clone would copy a net for each fold of a cross-validation
        return clone

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_nets": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._nets = _unpickled

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False  # rows of numbers are not images
        tags.input_tags.three_d_array = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
