"""Images prepared one after the other: what cannot be decoded is raised or counted, and progress is shown."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from vgg_zoo.images.decoding import BadImageError, Pixels
from vgg_zoo.images.inputs import Input, decode_each

ON_ERROR = ("raise", "nan")
"""What is done at an image that cannot be decoded: an error, or numbers that are not any, and a warning at the end."""

_NAMED = 20  # images in a warning

Prepared = TypeVar("Prepared")


def check_on_error(on_error: str) -> None:
    """Refuse what is none of `ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise ValueError(f"unknown on_error {on_error!r}; choose from {', '.join(ON_ERROR)}")


class Each:
    """Images prepared one after the other, by threads while the caller works on those before.

    Args:
        images: Each with what `prepare` needs beside its pixels.
        prepare: From the pixels (H, W, 3), the image's name and that to what is wanted.
        size: In bytes of what is prepared.
        on_error: Of `ON_ERROR`.

    Raises:
        ValueError: An unknown `on_error`.
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
        """What is prepared; None of an image that cannot be decoded.

        Raises:
            BadImageError: Such an image, by its place and name, if `on_error` is "raise".
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
        """Say which images could not be decoded, of how many; nothing if all could."""
        if self.problems:
            names = "; ".join(self.problems[:_NAMED])
            more = len(self.problems) - _NAMED
            warnings.warn(
                f"{len(self.problems)} of {of} images are rows of NaN: {names}" + f"; and {more} more" * (more > 0),
                stacklevel=4,
            )


def progress(count: int | None, shown: bool, parts: int = 1) -> AbstractContextManager[Any]:
    """A bar with rate and, where the count is known, the time that is left; None where it is not shown.

    Args:
        count: Of images.
        shown: Show it.
        parts: Steps that an image makes.
    """
    if not shown:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError as error:  # the Hub's client brings it, as long as it does
        raise ImportError("show_progress needs tqdm: pip install tqdm") from error
    total = None if count is None else count * parts
    bar: AbstractContextManager[Any] = tqdm(total=total, unit="image", unit_scale=1 / parts if parts > 1 else False)
    return bar
