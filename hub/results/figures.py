"""Refusing impossible figures: an error must be a count of images divided by their number, within its interval."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

_ROUNDING = 1e-6
"""Tolerance in images: a rate is written with 17 digits."""


def check_figures(
    found: Mapping[str, Any], ordered: Sequence[str], others: Iterable[str] = (), unreadable: int | None = None
) -> None:
    """Check that the figures of a test may be published.

    Args:
        found: Errors by name, from 0 to 1; "images", of which each is a fraction; and NAME_interval, if there is one.
        ordered: Names of the errors in descending order: top-1, then top-5.
        others: Names of further figures from 0 to 1, which are not fractions of the images.
        unreadable: Images that count as errors of every kind; None if unknown.

    Raises:
        ValueError: A figure is impossible; the message has its name, its value and what it must be.
    """
    images = found["images"]
    if type(images) is not int or images < 1:
        raise ValueError(f"images must be a whole number of at least 1; got {images!r}")
    for name in (*ordered, *others):
        check_rate(name, found[name])
        if f"{name}_interval" in found:
            _check_interval(name, found[name], found[f"{name}_interval"])
    for name in ordered:
        wrong = found[name] * images
        if abs(wrong - round(wrong)) > _ROUNDING:
            raise ValueError(
                f"{name} must be a multiple of 1/{images}, one image of those tested; got {found[name]!r}, "
                f"{wrong:.6g} images"
            )
    for more, less in pairwise(ordered):
        if found[less] > found[more]:
            raise ValueError(f"{less} must not be greater than {more}; got {found[less]!r} and {found[more]!r}")
    if unreadable is not None:
        if type(unreadable) is not int or not 0 <= unreadable <= images:
            raise ValueError(f"unreadable or unusable images must be from 0 to {images}; got {unreadable!r}")
        least = ordered[-1]
        if ordered and round(found[least] * images) < unreadable:
            raise ValueError(
                f"{least} must count the {unreadable} images that cannot be read; got {found[least]!r} of {images}"
            )


def check_count(images: int, told: Any) -> None:
    """Check that all images of the data set were tested, if their number is known. Raises `ValueError`."""
    if told not in (None, images) or isinstance(told, bool):
        raise ValueError(f"images must be those of the data, {told!r}; got {images!r}")


def check_rate(name: str, rate: Any) -> None:
    """Check that a number is from 0 to 1; raises `ValueError`."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"{name} must be from 0 to 1; got {rate!r}")


def _check_interval(name: str, rate: float, interval: Any) -> None:
    numbers = (
        isinstance(interval, list)
        and len(interval) == 2
        and all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in interval)
    )
    if not numbers or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"{name}_interval must be two numbers from 0 to 1, the lower first; got {interval!r}")
    if not interval[0] <= rate <= interval[1]:
        raise ValueError(f"{name} must lie in its interval, {interval[0]:.6g} to {interval[1]:.6g}; got {rate!r}")
