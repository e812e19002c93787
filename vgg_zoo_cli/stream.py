"""Any number of photos through a net, in order and in bounded memory; threads decode ahead, and no photo is lost."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vgg_zoo_cli import look

Prepared = TypeVar("Prepared")


def decoded_each(
    photos: Iterable[str], prepare: Callable[[Any], Prepared], size: Callable[[Prepared], int]
) -> Iterator[tuple[str, Prepared | None, str | None]]:
    """Each photo with the result of its pixels, or with the reason why it cannot be read.

    Args:
        photos: Paths and addresses.
        prepare: A function from pixels (H, W, 3), uint8, to the result.
        size: Bytes of a result.
    """
    from vgg_zoo.images.decoding import BadImageError
    from vgg_zoo.images.inputs import decode_each

    drawn: deque[str] = deque()

    def inputs() -> Iterator[tuple[Any, None]]:
        for photo in photos:
            drawn.append(photo)
            yield photo, None

    for _, found in decode_each(inputs(), lambda pixels, named, beside: prepare(pixels), size):
        photo = drawn.popleft()
        if isinstance(found, BadImageError):
            yield photo, None, " ".join(str(found).split())
        else:
            yield photo, found, None


def rows_of_each(net: Any, photos: Iterable[str]) -> Iterator[tuple[str, Any, str | None]]:
    """Each photo with its row of a net applied densely, or with the reason why it cannot be read.

    Args:
        net: A `vgg_zoo.dense.DenseNet`: posteriors of an evaluator, descriptors.
        photos: Paths and addresses.

    Returns:
        The photo; (numbers,), float32, NaN where it could not be read; and the reason.
    """
    from vgg_zoo.dense import in_turn
    from vgg_zoo.images.inputs import at_scales, size_of

    met: deque[tuple[str, str | None]] = deque()

    def rescaled() -> Iterator[Any]:
        for photo, found, error in decoded_each(photos, lambda pixels: at_scales(pixels, net.scales), size_of):
            met.append((photo, error))
            yield found

    for rows in in_turn(net.of_rescaled, rescaled(), net.device):
        for row in rows:
            photo, error = met.popleft()
            yield photo, row, error


def pictures_of(
    words: Sequence[str], targets: Sequence[tuple[str, Path]], draw_one: Callable[[str, Any, Path], None]
) -> int:
    """Draw a picture of each photo, one after the other.

    Args:
        words: The photos as they were typed.
        targets: Each photo with its picture, whose folder is created.
        draw_one: A function that takes the photo, its pixels (H, W, 3), and the picture to write.

    Returns:
        The exit code.
    """
    written = []
    with look.progress(len(targets)) as going:
        each = decoded_each((photo for photo, _ in targets), lambda pixels: pixels, lambda pixels: int(pixels.size))
        for (photo, pixels, error), (_, target) in zip(each, targets, strict=True):
            if error is None:
                target.parent.mkdir(parents=True, exist_ok=True)
                draw_one(photo, pixels, target)
                written.append(target)
            going.step(photo, error)
    look.finish_photos(going, words, written)
    return going.exit_code
