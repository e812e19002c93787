"""Image descriptors (Appendix B) as a scikit-learn transformer: a frozen net applied densely, its map averaged.

scikit-learn is an extra, and importing vgg_zoo must not need it. Its base classes are still what we inherit, rather
than imitate: what makes an estimator changes between versions (tags, routing, HTML), and they follow. So this module is
only imported when `vgg_zoo.ImageDescriptor` is first asked for; `vgg_zoo.descriptors` does not need scikit-learn.
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
"""Parameters that are arguments of `DenseDescriptor`."""

Descriptors = np.ndarray[Any, np.dtype[np.float32]]

_MOST_NETS = 4

_loading = threading.Lock()
"""A second thread waits rather than loading the same half gigabyte."""

_unpickled: dict[str, nn.Module] = {}
"""Nets of the estimators that this process has unpickled: a worker would else load one for each of its tasks."""


class ImageDescriptor(TransformerMixin, BaseEstimator):
    """The image descriptors of Appendix B: the net without its last layer, dense, averaged over positions and flips.

    Every image is rescaled isotropically to each scale Q; the net is applied to the whole of it; the layer's map, after
    the ReLU, is averaged over positions and with that of the mirrored image. The scales' descriptors are averaged or
    stacked. Nothing is learned: `fit` only checks the parameters. `sklearn.pipeline.FeatureUnion` stacks two nets.

    Clones share the net, which nothing changes. A pickle holds the parameters: a net that was given by name or folder
    is loaded again where it is needed, once for each process, such as each worker of `n_jobs=2`; a module is part of
    the pickle, so that every task has a copy, and the caches of `Pipeline(memory=...)` know it again only in the same
    process. Under `joblib.parallel_config("threading")` all share the one net.

    Args:
        model: A name that timm loads with its weights, the folder of a trained net, or a net, whose mode stays.
        layer: "fc7" (4096-D), "fc6", or any conv or max-pool by the paper's name, "conv3_2", "pool5". Layers of the
            trunk need no FC weights, and nothing behind the layer runs.
        scales: Q, smallest sides in pixels, or one: for fc6 and fc7 at least the net's crop (224), else at least 32.
            None takes the net's own, as `DenseEvaluator` does, the paper's 256, 384, 512 where it has none; likewise
            `flip` and `ceil_mode`.
        combine: Of the scales: "average" gives D = C channels of the layer, "stack" D = C · len(scales).
        flip: Average with the mirrored image.
        l2: "scale" makes each scale's descriptor one of length 1 before they are combined, "final" the combined one.
            A descriptor of zeros stays.
        on_error: At an image that cannot be decoded, "raise", or "nan": its row is NaN, and a warning counts and names
            all of them. Row i is image i in either case.
        ceil_mode: Max-pools round their size up, as Caffe's and so Oxford's did.
        most_pixels: That go through the net at once. Smaller images are batched up to it, larger ones go in tiles.
            None: 2**20 on a CPU; on a GPU what suits its memory.
        show_progress: A bar with rate and, where the number of images is known, the time that is left.
        device: Where the net goes: a device, "cuda:1"; "auto", a net given by name or folder goes to the GPU that CUDA
            has, if any, and a module stays where it is; None, it stays, on the CPU where it is loaded here.
        exact: Use the net itself. Otherwise, in float32 on a CPU, `fast_inference`'s copy of it does the work, several
            times as fast and equal up to rounding. `feature_maps` always uses the net itself.
        precision: "bf16", on a CPU with AMX or AVX512-BF16: FC layers, and with AMX convolutions, multiply bfloat16.
            "fp32": float32 under autocast, too. None: as the net and autocast have it.
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
        """Check the parameters; images and labels are not looked at.

        Raises:
            ValueError: An unknown layer, combine, l2 or on_error, or scales that are too small; the message says what
                there is.
            OSError: The weights cannot be fetched.
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
                described as an image of its own, and its descriptor stacked behind the whole image's.

        Returns:
            (N, D), float32; with boxes (N, 2 · D). Row i is image i.

        Raises:
            ValueError: As `fit`; no images; boxes for some images only, or without a pixel of the image.
            BadImageError: An image that cannot be decoded, by its place and name, if `on_error` is "raise".
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
            layers: Names as `layer` has, or one; None takes `layer`.
            relu: After the ReLU of each layer, or before it; a max-pool has none.
            scale: Q to rescale to first, not for tensors; None leaves the size as it is.
            input_range: What a tensor's numbers mean, as of `vgg_zoo.descriptors.feature_maps`: (black, white) or
                "imagenet"; None: uint8 in 0–255 or floats in 0–1.

        Returns:
            For each layer, in the order asked for, (B, C, h, w) on the net's device. The net runs once, up to the last
            of the layers, in one piece.

        Raises:
            ValueError: An unknown layer, a tensor of another shape or range, or a scale with a tensor.
        """
        net = self._net()
        if isinstance(image, Tensor):
            if scale is not None:
                raise ValueError(f"scale={scale} is for images; rescale a tensor yourself, differentiably if need be")
            pixels = image
        else:
            found = decoded(image)
            pixels = (torch.from_numpy(found).permute(2, 0, 1) if scale is None else rescale(found, scale))[None]
        wanted = self.layer if layers is None else layers
        ceil_mode = self._descriptor().ceil_mode
        return feature_maps(net, pixels, wanted, relu=relu, ceil_mode=ceil_mode, input_range=input_range)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, Any]:
        """(D,), names of the columns without boxes: "fc7_0", or of stacked scales "fc7_q256_0"."""
        descriptor = self._descriptor()
        scales = [f"_q{scale}" for scale in descriptor.scales] if self.combine == "stack" else [""]
        channels = range(descriptor.layer.channels)
        return np.array([f"{self.layer}{scale}_{channel}" for scale in scales for channel in channels], dtype=object)

    def _descriptor(self) -> DenseDescriptor:
        """What does the work, from parameters that may have been set since the last time."""
        check_on_error(self.on_error)
        return DenseDescriptor(self._net(), device=None, **{name: getattr(self, name) for name in _DESCRIPTORS})

    def _net(self) -> nn.Module:
        """The net, loaded once for this estimator and all its clones."""
        net: Any = self.model
        if isinstance(net, str | Path):
            folder = Path(net)  # one that is trained again has another time
            key = f"{net} {folder.stat().st_mtime_ns}" if folder.is_dir() else str(net)
            with _loading:
                if key not in self._nets:
                    while len(self._nets) >= _MOST_NETS:
                        self._nets.pop(next(iter(self._nets)))
                    self._nets[key] = net_of(net, self.device)
                net = self._nets[key]
        return net_of(net, self.device)

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
        tags.input_tags.two_d_array = False  # rows of numbers are no images
        tags.input_tags.three_d_array = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
