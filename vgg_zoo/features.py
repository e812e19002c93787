"""Image descriptors (Appendix B) as a scikit-learn transformer: a frozen net applied densely, its map averaged.

scikit-learn is an extra, and importing vgg_zoo must not need it. Its base classes are still what we inherit, rather than
imitate: what makes an estimator changes between versions (tags, routing, HTML), and they follow. So this module is only
imported when `vgg_zoo.ImageDescriptor` is first asked for; `vgg_zoo.descriptors` has the same without scikit-learn.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError(
        "vgg_zoo.ImageDescriptor is a scikit-learn transformer: pip install 'vgg-zoo[recipes]', or use "
        "vgg_zoo.descriptors.DenseDescriptor, which needs no scikit-learn"
    ) from error

from .inputs import Input

Box = Sequence[float]
"""(left, top, right, bottom) in pixels of the upright image; parts outside the image are cut off."""

Descriptors = np.ndarray[Any, np.dtype[np.float32]]


class ImageDescriptor(TransformerMixin, BaseEstimator):
    """The image descriptors of Appendix B: the net without its last layer(s), dense, averaged over places and flips.

    Every image is rescaled isotropically to each scale Q; the net is applied to the whole of it; the layer's map, after
    the ReLU, is averaged over places and with that of the mirrored image. The scales' descriptors are averaged or
    stacked. Nothing is learned: `fit` only checks the parameters. Two nets are stacked by `sklearn.pipeline.FeatureUnion`.

    Clones share the net, which nothing changes. A pickle holds the parameters: a net that was given by name or folder is
    loaded again where it is needed; a module is part of the pickle.

    Args:
        model: A name that timm loads with its weights, the folder of a trained net, or a net (put into eval mode).
        layer: "fc7" (4096-D), "fc6", or any conv or max-pool by the paper's name, "conv3_2", "pool5". Layers of the trunk
            need no FC weights, and nothing behind the layer runs.
        scales: Q, smallest sides in pixels: for fc6 and fc7 at least the net's crop (224), else at least 32.
        combine: Of the scales: "average" gives D = C channels of the layer, "stack" D = C · len(scales).
        flip: Average with the mirrored image.
        l2: "scale" makes each scale's descriptor one of length 1 before they are combined, "final" the combined one.
            A descriptor of zeros stays.
        on_error: At an image that cannot be decoded, "raise", or "nan": its row is NaN, and a warning counts and names
            all of them. Row i is image i in either case.
        ceil_mode: Max-pools round their size up, as Caffe's and so Oxford's did.
        most_pixels: That go through the net at once. Smaller images are batched up to it, larger ones go in tiles.
        device: Where the net goes, "cuda"; None leaves it where it is, on the CPU where it is loaded by name.
    """

    def __init__(
        self,
        model: nn.Module | str = "vgg_d.oxford_in1k",
        layer: str = "fc7",
        scales: Sequence[int] = (256, 384, 512),
        combine: str = "average",
        flip: bool = True,
        l2: str = "scale",
        *,
        on_error: str = "raise",
        ceil_mode: bool = False,
        most_pixels: int = 1024 * 1024,
        device: str | None = None,
    ) -> None:
        self.model = model
        self.layer = layer
        self.scales = scales
        self.combine = combine
        self.flip = flip
        self.l2 = l2
        self.on_error = on_error
        self.ceil_mode = ceil_mode
        self.most_pixels = most_pixels
        self.device = device

    def fit(self, X: Any, y: Any = None) -> "ImageDescriptor":
        """Check the parameters; images and labels are not looked at.

        Raises:
            ValueError: An unknown layer, combine, l2 or on_error, or scales that are too small; the message has the options.
            OSError: The weights cannot be fetched.
        """
        raise NotImplementedError

    def transform(self, X: Iterable[Input | tuple[Input, Box]], boxes: Iterable[Box] | None = None) -> Descriptors:
        """Descriptors of images of any sizes, decoded once each, in bounded memory.

        Args:
            X: PIL images, paths, (H, W) or (H, W, 3) arrays of uint8, files' bytes, or a `datasets` column of type Image,
                decoded or not. A pair (image, box) is an image with its box, as in `boxes`; pairs pass a `Pipeline`.
            boxes: One for each image (Appendix B, the action task): (left, top, right, bottom) in pixels. The box is
                described as an image of its own, and its descriptor stacked behind the whole image's.

        Returns:
            (N, D), float32; with boxes (N, 2 · D). Row i is image i.

        Raises:
            ValueError: As `fit`; no images; boxes for some images only, or without a pixel of the image.
            BadImageError: An image that cannot be decoded, by its place and name, if `on_error` is "raise".
        """
        raise NotImplementedError

    def feature_maps(
        self, image: Input | Tensor, layers: Sequence[str] | None = None, *, relu: bool = True, scale: int | None = None
    ) -> dict[str, Tensor]:
        """The layers' maps of an image, for perceptual losses and style transfer.

        Args:
            image: A PIL image, path or array; or a tensor (B, 3, H, W) on any device: RGB as floats in 0–1, or as uint8 in
                0–255. If it requires gradients, the maps are differentiable with respect to it, never to the weights.
            layers: Names as `layer` has; None takes `layer`.
            relu: After the ReLU of each layer, or before it; a max-pool has none.
            scale: Q to rescale to first, not for tensors; None leaves the size as it is.

        Returns:
            For each layer, in the order asked for, (B, C, h, w) on the net's device. The net runs once, up to the last
            of the layers, in one piece.

        Raises:
            ValueError: An unknown layer, a tensor of another shape, floats far beyond 1, or a scale with a tensor.
        """
        raise NotImplementedError
