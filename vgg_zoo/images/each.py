"""Preparing images one after the other: errors are raised or counted, and progress is shown."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from vgg_zoo.images.decoding import BadImageError, Pixels
from vgg_zoo.images.inputs import Input, decode_each

ON_ERROR = ("raise", "nan")
"""What to do with an image that cannot be decoded: raise an error, or return NaN and warn at the end."""

_NAMED = 20  # images in a warning

Prepared = TypeVar("Prepared")


def check_on_error(on_error: str) -> None:
    """Refuse a value that is not in `ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise ValueError(f"unknown on_error {on_error!r}; choose from {', '.join(ON_ERROR)}")


class Each:
    """Images prepared one after the other, by threads while the caller works on the previous ones.

    Args:
        images: Images, each with the extra data for `prepare`.
        prepare: A function of the pixels (H, W, 3), the image's name and the extra data.
        size: Bytes of a prepared result.
        on_error: One of `ON_ERROR`.

    Raises:
        ValueError: `on_error` is unknown.
    """

    def __init__(
        self,
        images: Iterable[tuple[Input, Any]],
        prepare: Callable[[Pixels, str, Any], Any],
        size: Callable[[Any], int],
        on_error: str,
    ) -> None:
        check_on_error(on_error)
        self.images, self.prepare, self.size, self.on_error = images, prepare, size, on_error
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        """Yield the prepared results; None for an image that cannot be decoded.

        Raises:
            BadImageError: An image cannot be decoded and `on_error` is "raise"; the message has its position and name.
        """
        for named, found in decode_each(self.images, self.prepare, self.size):
            if not isinstance(found, BadImageError):
                yield found
            elif self.on_error == "raise":
                raise BadImageError(f"{named}: {found}") from found
            else:
                self.problems.append(f"{named}: {found}")
                yield None

    def warn(self, of: int) -> None:
        """Warn about the images that could not be decoded, if there are any."""
        if self.problems:
            names = "; ".join(self.problems[:_NAMED])
            more = len(self.problems) - _NAMED
            warnings.warn(
                f"{len(self.problems)} of {of} images are rows of NaN: {names}" + f"; and {more} more" * (more > 0),
                stacklevel=4,
            )


def progress(count: int | None, shown: bool, parts: int = 1) -> AbstractContextManager[Any]:
    """A progress bar with the rate and, if the count is known, the remaining time; None if it is not shown.

    Args:
        count: Number of images.
        shown: Whether to show it.
        parts: Steps for each image.
    """
    if not shown:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError as error:  # at present, the Hub's client installs it
        raise ImportError("show_progress needs tqdm: pip install tqdm") from error
    total = None if count is None else count * parts
    bar: AbstractContextManager[Any] = tqdm(total=total, unit="image", unit_scale=1 / parts if parts > 1 else False)
    return bar
