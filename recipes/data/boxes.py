"""Usable boxes (Appendix A trains on them), and the reasons why other boxes are not usable.

Every reason begins with its kind, so that reports can count the kinds.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels from the image's corner; right and bottom are the first beyond the box."""

MOST_BOXES = 10_000
"""Maximum boxes of an image; with more, the file counts as broken. ILSVRC's and VOC's fullest images have dozens."""

NO_ANNOTATION = "no annotation"
NO_BOX = "no box"
NO_OBJECT = "annotation without objects of the class"
NO_CLASS = "no class"
TOO_MANY = "too many objects"
UNREADABLE = "unreadable annotation"
MISSING = "annotation is missing"

_KINDS = {
    "box coordinate": "box coordinate is no number",
    "box of": "box is not 4 numbers",
    "box is": "box is not 4 numbers",
    "box less": "box less than a pixel",
    "box outside": "box outside the image",
    "reversed box": "reversed box",
    "empty box": "empty box",
    "object without": "object without box or name",
} | {kind: kind for kind in (NO_ANNOTATION, NO_BOX, NO_OBJECT, NO_CLASS, TOO_MANY, MISSING)}


class BadBoxError(ValueError):
    """A box without usable pixels; the message says why, without the image's name."""


class Annotated(NamedTuple):
    """The boxes of an image according to its annotation alone.

    Attributes:
        boxes: (left, top, right, bottom) of each box that is four numbers and has a pixel.
        bad: Why each of the other boxes is not usable.
        problem: "", or why there is no usable box.
    """

    boxes: list[Box]
    bad: list[str]
    problem: str


def annotated(boxes: list[Box], bad: list[str], none: str) -> Annotated:
    """Good and bad boxes of an image; `none` is the problem of an image without any box."""
    if len(boxes) + len(bad) > MOST_BOXES:
        return Annotated([], [], f"{TOO_MANY} ({len(boxes) + len(bad):,}; at most {MOST_BOXES:,})")
    return Annotated(boxes, bad, "" if boxes else bad[0] if bad else none)


def kind_of_reason(reason: str) -> str:
    """The kind of a reason, without the numbers and names in it."""
    return next((kind for beginning, kind in _KINDS.items() if reason.startswith(beginning)), UNREADABLE)


def kinds(reasons: Iterable[str]) -> dict[str, int]:
    """The number of reasons of each kind, the most frequent first."""
    counts = Counter(map(kind_of_reason, reasons))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def finite(value: Any, named: str = "") -> float:
    """A coordinate.

    Args:
        value: A number; a text is never a number.
        named: Name of its owner, for the message.

    Raises:
        BadBoxError: It is not a finite number.
    """
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an int of 400 digits
        number = math.inf
    if not math.isfinite(number):
        shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}..."
        raise BadBoxError(f"box coordinate {shown} is not a number{named and f' ({named})'}")
    return number


def check_corners(corners: Sequence[float], inclusive: bool = False, named: str = "") -> None:
    """Check that left is before right and top before bottom.

    Args:
        corners: Left, top, right, bottom; finite.
        inclusive: Whether the last pixel is part of the box, as in XML annotations; equal numbers are then one pixel.
        named: Name of their owner, for the message.

    Raises:
        BadBoxError: The box is reversed or empty.
    """
    behind = f", {named}" if named else ""
    left, top, right, bottom = corners
    for first, low, second, high in (("left", left, "right", right), ("top", top, "bottom", bottom)):
        if low > high:
            raise BadBoxError(f"reversed box ({first} {low:g} > {second} {high:g}){behind}")
        if low == high and not inclusive:
            raise BadBoxError(f"empty box ({first} {low:g} = {second} {high:g}){behind}")


def clip_to_image(box: Sequence[float], height: int, width: int) -> Box:
    """The part of a box that is inside an image.

    Args:
        box: (left, top, right, bottom) in pixels; any numbers.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        BadBoxError: Less than a pixel in a direction is inside.
    """
    left, top, right, bottom = box
    cut = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if not (cut[2] - cut[0] >= 1 and cut[3] - cut[1] >= 1):  # refuses NaN as well
        shown = f"({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        raise BadBoxError(f"box outside the image of {width}×{height} pixels, {shown}")
    return cut
