"""From images in any form to the net's input: decoding, rescaling, batching by shape, normalising."""

import operator
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vgg_zoo.devices import constant_like, stacked_on
from vgg_zoo.images.decoding import BadImageError, Pixels, pixels_of, read_pixels, whatever_it_warns_of
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.images.urls import fetched, is_url
from vgg_zoo.model import input_channels

Input = Image.Image | str | Path | bytes | Mapping[str, Any] | Pixels | Tensor
"""A PIL image, a path, an http(s) address, a file's bytes, an undecoded image of `datasets`, an (H, W, 3) or (H, W)
array of uint8, or a (3, H, W) or (1, H, W) tensor of uint8."""

One = Image.Image | str | Path | bytes | Mapping[str, Any]
"""The types of `Input` that are always one image."""

Array = np.ndarray[Any, Any] | Tensor
"""One image or a stack of images, depending on the shape."""

Inputs = Iterable[Input]
"""Images, drawn one by one. A tensor of four dimensions, (B, 3, H, W), is a batch as from a `DataLoader`; labels may
follow it."""

_AHEAD, _AHEAD_BYTES = 32, 2**26
"""Maximum number and bytes of images that are decoded before the net needs them."""

_NOTHING: Any = object()
_CPU = torch.device("cpu")

Rescaled = Sequence[Tensor]
"""An image at each scale, in order: (3, H, W) of uint8 each."""


def decoded(image: Input) -> Pixels:
    """An image as (H, W, 3) uint8, upright.

    Raises:
        ValueError: It is no `Input`.
        BadImageError: The image cannot be decoded.
    """
    if isinstance(image, Image.Image):
        try:  # opened files are read only now
            return whatever_it_warns_of(lambda: pixels_of(image))
        # Decoders raise almost any exception for damaged files; Pillow documents no complete list.
        except Exception as error:
            raise BadImageError(f"{type(error).__name__}: {error}") from error
    if isinstance(image, Mapping) and image.keys() >= {"bytes", "path"}:  # a column of `datasets`, undecoded
        return decoded(image["bytes"] if image["bytes"] is not None else image["path"])
    if isinstance(image, str | Path | bytes):
        return read_pixels(fetched(image) if isinstance(image, str) and is_url(image) else image)
    if isinstance(image, Tensor):
        return pixels_of(Image.fromarray(_checked_array(_checked_tensor(image))))
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"an image is a PIL image, a path, or an (H, W, 3) array of uint8; got a {_kind(image)}"
            + "; of a table of `datasets` give its column of images, table[name]" * isinstance(image, Mapping)
        )
    return pixels_of(Image.fromarray(_checked_array(image)))


def _checked_tensor(image: Tensor) -> Pixels:
    """Convert (C, H, W) of uint8, PyTorch's order, to an array (H, W, C)."""
    said = f"a tensor of {tuple(image.shape)} {image.dtype}"
    if image.dtype != torch.uint8:
        raise ValueError(
            f"an image as a tensor has uint8, 0–255, before any normalisation; got {said}"
            + "; of floats in 0–1 give (image * 255).round().to(torch.uint8)" * image.is_floating_point()
        )
    if image.ndim != 3 or image.shape[0] not in (1, 3, 4):
        last = image.ndim == 3 and image.shape[2] in (1, 3, 4)
        raise ValueError(
            f"an image as a tensor is (3, H, W) or (1, H, W); got {said}"
            + "; for (H, W, C) give image.permute(2, 0, 1)" * last
            + "; of a batch give image[0]" * (image.ndim == 4)
        )
    return image.detach().permute(1, 2, 0).cpu().numpy()


def _checked_array(image: np.ndarray[Any, Any]) -> Pixels:
    """Check (H, W), (H, W, 3) or (H, W, 4) of uint8 for Pillow."""
    said = f"an array of {image.shape} {image.dtype}"
    if image.dtype != np.uint8:
        raise ValueError(
            f"an image is an array of uint8, 0–255; got {said}"
            + "; multiply floats in 0–1 by 255" * (image.dtype.kind == "f")
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        turned = image.ndim == 3 and image.shape[0] in (1, 3, 4)
        raise ValueError(
            f"an image is (H, W), (H, W, 3) or, with transparency, (H, W, 4), and not empty; got {said}"
            + "; for (C, H, W) give image.transpose(1, 2, 0)" * turned
        )
    return image


def _kind(image: Any) -> str:
    name = type(image).__name__
    return name if not hasattr(image, "shape") else f"{name} of {tuple(image.shape)} {image.dtype}"


Prepared = TypeVar("Prepared")


def decode_each(
    images: Iterable[tuple[Input, Any]],
    prepare: Callable[[Pixels, str, Any], Prepared],
    size: Callable[[Prepared], int],
) -> Iterator[tuple[str, Prepared | BadImageError]]:
    """Yield, in order, the result for each image or the reason why it cannot be decoded, with its index and its name.

    Threads decode and prepare the next images while the caller works on the previous ones, in bounded memory.

    Args:
        images: Images, each with the extra data for `prepare`; drawn in the caller's thread.
        prepare: A function of the pixels (H, W, 3), the image's name and the extra data.
        size: Bytes of a prepared result.

    Raises:
        ValueError: An input is no image, or `prepare` raises it.
    """

    def work(named: str, image: Input, beside: Any) -> Prepared | BadImageError:
        try:
            return prepare(decoded(image), named, beside)
        except BadImageError as error:
            return error

    waiting: deque[tuple[str, Future[Prepared | BadImageError]]] = deque()
    most, threads = _AHEAD, ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        for place, (image, beside) in enumerate(images):
            path = image.get("path") if isinstance(image, Mapping) else image
            named = f"image {place}" + (f" ({path})" if isinstance(path, str | Path) else "")
            waiting.append((named, threads.submit(work, named, image, beside)))
            while len(waiting) > most:
                done, coming = waiting.popleft()
                found = coming.result()
                if not isinstance(found, BadImageError):
                    most = max(2, min(_AHEAD, _AHEAD_BYTES // max(1, size(found))))
                yield done, found
        for named, coming in waiting:
            yield named, coming.result()
    finally:
        threads.shutdown(cancel_futures=True)


def is_one(images: Any) -> bool:
    """Whether the argument is one image, which a loop would mistake for a sequence of letters or rows."""
    if isinstance(images, np.ndarray):
        of_paths = images.dtype.kind in "OUS"
        return not of_paths and (
            images.ndim < 3 or (images.ndim == 3 and any(side in (1, 3, 4) for side in images.shape[::2]))
        )
    if isinstance(images, Tensor):
        return images.ndim < 4
    return isinstance(images, str | Path | bytes | Image.Image | Mapping) or not hasattr(images, "__iter__")


def several(images: Any) -> Any:
    """The images one by one. Those of a `datasets` column stay undecoded, so that we can name a damaged file.

    Raises:
        ValueError: The argument is one image, or a table with several columns.
    """
    if hasattr(images, "columns") and hasattr(images, "iloc"):  # pandas, which may not be installed
        if len(images.columns) != 1:
            raise ValueError(f"a table of {len(images.columns)} columns; give its column of images, table[name]")
        return images.iloc[:, 0]
    if is_one(images):
        raise ValueError(f"this is one image (a {_kind(images)}), but several are expected; give a list: [image]")
    if isinstance(images, np.ndarray):
        return images.ravel() if images.dtype.kind in "OUS" else images  # an array of paths, or a column of a table
    datasets = sys.modules.get("datasets")  # if it is not imported, there is no column
    if datasets is not None and isinstance(images, datasets.arrow_dataset.Column):
        return _undecoded(images, datasets)
    return _out_of_batches(images)


def _undecoded(column: Any, datasets: Any) -> Any:
    """A column of undecoded images, whatever its format; the unchanged column if the user has set a transform."""
    source, name = column.source, column.column_name
    plain = isinstance(source, datasets.Dataset) and source.format["type"] != "custom"
    if not plain or not isinstance(source.features[name], datasets.Image):
        return column
    bare = source.with_format(None).select_columns([name])
    return bare.cast_column(name, datasets.Image(decode=False))[name]


def _out_of_batches(images: Iterable[Any]) -> Iterator[Any]:
    for image in images:
        labelled = isinstance(image, list | tuple) and len(image) > 0 and isinstance(image[0], Tensor)
        batch = image[0] if labelled else image
        if isinstance(batch, Tensor) and batch.ndim == 4:
            yield from batch
        else:
            yield image


def count_of(images: Any) -> int | None:
    """Number of images, if it is known; for a `DataLoader`, that of its data set, not of its batches."""
    try:
        return len(getattr(images, "dataset", images))
    except TypeError:  # a generator
        return None


def as_scales(scales: Any) -> tuple[int, ...]:
    """Test scales as whole numbers of pixels; a single number is one scale.

    Raises:
        ValueError: They are something else.
    """
    try:
        found = tuple(map(operator.index, [scales] if isinstance(scales, Integral) else scales))
    except TypeError as error:
        raise ValueError(
            f"scales must be whole numbers of pixels, such as (256, 384, 512) or 256; got {scales!r}"
        ) from error
    return found


def at_scales(pixels: Pixels, scales: Sequence[int]) -> list[Tensor]:
    """An image (H, W, 3) rescaled isotropically to each smallest side Q (Sect. 3.2), each (3, H, W) of uint8."""
    return [rescale(pixels, scale) for scale in scales]


def of_scales(images: Sequence[Rescaled | None], there: Sequence[int], wanted: Sequence[int]) -> list[Rescaled | None]:
    """Select some of the scales of rescaled images."""
    places = [there.index(scale) for scale in wanted]
    return [None if image is None else [image[place] for place in places] for image in images]


def size_of(image: Rescaled) -> int:
    """Bytes of an image at all its scales together."""
    return sum(scaled.numel() for scaled in image)


def in_parts(images: Iterable[Rescaled | None], most_bytes: int) -> Iterator[list[Rescaled | None]]:
    """Split the images into groups that end when they exceed `most_bytes`; a group has at least one image."""
    part: list[Rescaled | None] = []
    size = 0
    for image in images:
        part.append(image)
        size += size_of(image or ())
        if size > most_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part


def batches_of_one_shape(
    images: Sequence[Tensor | None], most_pixels: int, device: torch.device = _CPU
) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield batches of one shape, (B, 3, H, W), of at most `most_pixels` or one image, with the indices of their
    images.

    Args:
        images: (3, H, W) each; None is skipped.
        most_pixels: Maximum pixels of a batch.
        device: Device of the batches; each goes there in one copy.
    """
    same_shape: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        if image is not None:
            same_shape.setdefault(image.shape, []).append(place)
    for shape, places in same_shape.items():
        most = max(1, most_pixels // (shape[1] * shape[2]))
        for start in range(0, len(places), most):
            batch = places[start : start + most]
            yield stacked_on(device, [image for place in batch if (image := images[place]) is not None]), batch


def net_input(net: nn.Module, pixels: Tensor) -> Tensor:
    """The net's input according to its pretrained_cfg, on its device and in its type: (pixels / 255 − mean) / std.

    Args:
        net: A net with timm's `pretrained_cfg`. A net for grey images gets the brightness of colours, as computed by
            Pillow; if its cfg has numbers for three colours, their mean is used.
        pixels: (B, 3, H, W), or (B, 1, H, W) for a net of grey images; RGB in 0–255.
    """
    weight, cfg = next(net.parameters()), cast(dict[str, Any], net.pretrained_cfg)
    images, channels = pixels.to(weight.device).to(weight.dtype), input_channels(net)
    mean, std = (constant_like(images, cfg[key]) * 255 for key in ("mean", "std"))
    if channels == 1:
        mean, std = mean.mean(1, keepdim=True), std.mean(1, keepdim=True)
        if images.shape[1] == 3:
            images = (images * constant_like(images, (0.299, 0.587, 0.114))).sum(1, keepdim=True).round()
    return (images - mean) / std


Box = Sequence[float]
"""(left, top, right, bottom) in pixels of the upright image; a box is clipped to the image."""


def with_boxes(images: Any, boxes: Iterable[Box] | None) -> tuple[Iterator[tuple[Input, Box | None]], bool]:
    """Each image with its box, drawn one by one; and whether there are boxes.

    Args:
        images: Images, or pairs (image, box).
        boxes: One for each image; None if there are none, or if `images` has them.

    Raises:
        ValueError: Boxes are given twice, or their number differs from that of images (found only at the end).
    """
    drawn = iter(several(images))
    first = list(islice(drawn, 1))
    if first and isinstance(first[0], tuple):
        return _checked_pairs(chain(first, drawn), boxes), True
    if boxes is None:
        return ((image, None) for image in chain(first, drawn)), False
    return _zipped(chain(first, drawn), boxes), True


def _checked_pairs(pairs: Iterable[Any], boxes: Iterable[Box] | None) -> Iterator[tuple[Input, Box]]:
    for pair in pairs:
        if boxes is not None or not isinstance(pair, tuple) or len(pair) != 2:
            raise ValueError("only some images have boxes, or boxes are given twice; give (image, box) pairs or boxes=")
        yield pair


def _zipped(images: Iterable[Input], boxes: Iterable[Box]) -> Iterator[tuple[Input, Box]]:
    counts = [0, 0]
    for image, box in zip_longest(images, boxes, fillvalue=_NOTHING):
        counts = [counts[0] + (image is not _NOTHING), counts[1] + (box is not _NOTHING)]
        if counts[0] == counts[1]:
            yield image, box
    if counts[0] != counts[1]:
        raise ValueError(f"{counts[1]} boxes for {counts[0]} images; give one for each")


def part_in_box(pixels: Pixels, box: Box, named: str) -> Pixels:
    """The image's pixels (H, W, 3) in a box, which is clipped to the image and widened to whole pixels.

    Args:
        pixels: (H, W, 3), uint8.
        box: The box in pixels of this image.
        named: Name of the image for errors.

    Raises:
        ValueError: The box is not four numbers, or has no pixel of the image.
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
