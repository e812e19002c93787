"""Images as callers hand them over, and as the net takes them: decoded, rescaled, batched by shape, normalised."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vgg_zoo.images.decoding import BadImageError, Pixels, pixels_of, read_pixels
from vgg_zoo.images.preprocessing import rescale

Input = Image.Image | str | Path | bytes | Mapping[str, Any] | Pixels
"""A PIL image, a path, a file's bytes, an undecoded image of `datasets`, or an (H, W, 3) or (H, W) array of uint8."""

Rescaled = Sequence[Tensor]
"""An image at each scale, in order: (3, H, W) of uint8 each."""


def decoded(image: Input) -> Pixels:
    """An image as (H, W, 3) uint8, upright.

    Raises:
        ValueError: Something else than `Input`.
        BadImageError: An image that cannot be decoded.
    """
    if isinstance(image, Image.Image):
        try:  # opened files are read only now
            return pixels_of(image)
        # Decoders for damaged files raise almost anything: Pillow documents no closed list.
        except Exception as error:
            raise BadImageError(f"{type(error).__name__}: {error}") from error
    if isinstance(image, str | Path | bytes):
        return read_pixels(image)
    if isinstance(image, Mapping) and image.keys() >= {"bytes", "path"}:  # a column of `datasets`, undecoded
        return read_pixels(image["bytes"] if image["bytes"] is not None else image["path"])
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(
            f"an image is a PIL image, a path, or an (H, W, 3) array of uint8; got a {type(image).__name__}"
            + (f" of {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else "")
        )
    return pixels_of(Image.fromarray(image))


def decode_each(images: Iterable[Input]) -> Iterator[tuple[str, Pixels | BadImageError]]:
    """Every image in order, or why it cannot be decoded, with its place and, where it has one, its name.

    Raises:
        ValueError: One image where several are expected, or something that is no image.
    """
    for place, image in enumerate(several(images)):
        path = image.get("path") if isinstance(image, Mapping) else image
        named = f"image {place}" + (f" ({path})" if isinstance(path, str | Path) else "")
        try:
            yield named, decoded(image)
        except BadImageError as error:
            yield named, error


def several(images: Any) -> Any:
    """The images, those of a `datasets` column undecoded: a damaged file is then ours to name.

    Raises:
        ValueError: One image, which a loop would take for a sequence of letters or of rows.
    """
    one = isinstance(images, str | Path | bytes | Image.Image | Mapping)
    if one or (isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[2] in (3, 4)):
        raise ValueError(
            f"one image (a {type(images).__name__}) where several are expected; give a list of one: [image]"
        )
    datasets = sys.modules.get("datasets")  # without it imported there is no column
    if datasets is None or not isinstance(images, datasets.arrow_dataset.Column):
        return images
    source, name = images.source, images.column_name
    plain = isinstance(source, datasets.Dataset) and source.format["type"] is None  # no transform of the user's
    if not plain or not isinstance(source.features[name], datasets.Image):
        return images
    return source.select_columns([name]).cast_column(name, datasets.Image(decode=False))[name]


def at_scales(pixels: Pixels, scales: Sequence[int]) -> list[Tensor]:
    """An image (H, W, 3) rescaled isotropically to each smallest side Q (Sect. 3.2), each (3, H, W) of uint8."""
    return [rescale(pixels, scale) for scale in scales]


def in_parts(images: Iterable[Rescaled | None], most_bytes: int) -> Iterator[list[Rescaled | None]]:
    """The images in parts that are cut where they exceed `most_bytes`, or at the end; a part holds one at least."""
    part: list[Rescaled | None] = []
    size = 0
    for image in images:
        part.append(image)
        size += sum(scaled.numel() for scaled in image or ())
        if size > most_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part


def batches_of_one_shape(images: Sequence[Tensor | None], most_pixels: int) -> Iterator[tuple[Tensor, list[int]]]:
    """Images of one shape, (B, 3, H, W), at most `most_pixels` or one image, and their places; each image once."""
    same_shape: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        if image is not None:
            same_shape.setdefault(image.shape, []).append(place)
    for shape, places in same_shape.items():
        most = max(1, most_pixels // (shape[1] * shape[2]))
        for start in range(0, len(places), most):
            batch = places[start : start + most]
            yield torch.stack([image for place in batch if (image := images[place]) is not None]), batch


def net_input(net: nn.Module, pixels: Tensor) -> Tensor:
    """The net's input, as its pretrained_cfg says, on its device and in its type: (pixels / 255 − mean) / std.

    Args:
        net: With timm's `pretrained_cfg`.
        pixels: (B, 3, H, W), RGB in 0–255.
    """
    weight, cfg = next(net.parameters()), cast(dict[str, Any], net.pretrained_cfg)
    images = pixels.to(weight.device).to(weight.dtype)
    mean, std = (images.new_tensor(cfg[key]).view(1, -1, 1, 1) * 255 for key in ("mean", "std"))
    return (images - mean) / std


Box = Sequence[float]
"""(left, top, right, bottom) in pixels of the upright image; parts outside the image are cut off."""


def split_pairs(images: Any, boxes: Iterable[Box] | None) -> tuple[Iterable[Input], Sequence[Box] | None]:
    """Images and their boxes apart.

    Args:
        images: Images, or pairs (image, box).
        boxes: One for each image; None for none, or if `images` has them.

    Raises:
        ValueError: Boxes given twice, or not one for each image.
    """
    images = several(images)
    if not hasattr(images, "__len__"):
        images = list(images)
    if isinstance(next(iter(images), None), tuple):
        if boxes is not None or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in images):
            raise ValueError("boxes for some images only, or twice; give (image, box) for each image, or boxes=")
        return [image for image, _ in images], [box for _, box in images]
    if boxes is None:
        return images, None
    boxes = list(boxes)
    if len(boxes) != len(images):
        raise ValueError(f"{len(boxes)} boxes for {len(images)} images; give one for each")
    return images, boxes


def part_in_box(pixels: Pixels, box: Box, named: str) -> Pixels:
    """The image's pixels (H, W, 3) in a box, which is clipped to the image and widened to whole pixels.

    Args:
        pixels: (H, W, 3), uint8.
        box: In pixels of this image.
        named: The image in the message of an error.

    Raises:
        ValueError: No four numbers, or no pixel of the image.
    """
    height, width = pixels.shape[:2]
    corners = np.asarray(box, dtype=np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ValueError(f"{named}: a box is (left, top, right, bottom) in pixels; got {box!r}")
    left, top = (int(value) for value in np.floor(corners[:2]).clip(0))
    right, bottom = (int(value) for value in np.ceil(corners[2:]).clip(0, (width, height)))
    if left >= right or top >= bottom or (corners[:2] >= corners[2:]).any():
        raise ValueError(
            f"{named}: the box {tuple(corners.tolist())} has no pixel of the image of {width} × {height}; a box is "
            "(left, top, right, bottom) in pixels"
        )
    return pixels[top:bottom, left:right]
