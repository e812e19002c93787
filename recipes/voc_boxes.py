"""Boxes of objects in PASCAL VOC's annotations, which are XML that anybody may have written."""

import math
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from recipes.box_checks import BadBoxError, Box

MOST_BYTES = 2**22
"""Of an annotation; VOC's largest has some kilobytes."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def object_box(file: Path, number: int) -> Box:
    """The box of an object.

    Args:
        file: An annotation of VOC.
        number: Of the object among all of the image's, from 1, as ImageSets/Action and ImageSets/Layout have it.

    Returns:
        (left, top, right, bottom) in whole pixels from the corner; VOC's own coordinates begin at 1 and include the
        last pixel.

    Raises:
        BadBoxError: No file, no plain XML, no such object, or no box that holds a pixel.
    """
    objects = _parsed(file).findall("object")
    if not 1 <= number <= len(objects):
        raise BadBoxError(f"{file.name} has {len(objects)} object(s), no object {number}")
    found = objects[number - 1].find("bndbox")
    if found is None:
        raise BadBoxError(f"object {number} of {file.name} has no bndbox")
    left, top, right, bottom = (_number(found, corner, f"object {number} of {file.name}") for corner in _CORNERS)
    if right < left or bottom < top:
        raise BadBoxError(
            f"object {number} of {file.name} has a reversed box, ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        )
    return math.floor(left) - 1, math.floor(top) - 1, math.ceil(right), math.ceil(bottom)  # some are fractions


def check_inside(box: Box, height: int, width: int) -> None:
    """Parts outside the image are cut off; something must be left.

    Raises:
        BadBoxError: Nothing is.
    """
    left, top, right, bottom = box
    if min(right, width) - max(left, 0) < 1 or min(bottom, height) - max(top, 0) < 1:
        raise BadBoxError(
            f"the box ({left:g}, {top:g}) to ({right:g}, {bottom:g}) is outside the image of {width}×{height} pixels"
        )


def _parsed(file: Path) -> ElementTree.Element:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadBoxError(f"the annotation {file} cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise BadBoxError(f"{file.name} has {len(data):,} bytes; an annotation has {MOST_BYTES:,} at the most")
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype  # before any entity is declared, which could grow to gigabytes
    try:
        parser.Parse(data, True)
        return ElementTree.fromstring(data)  # noqa: S314 (it has no DOCTYPE, hence no entities of its own)
    except BadBoxError as error:
        raise BadBoxError(f"{file.name} {error}") from error
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:  # unknown encodings too
        raise BadBoxError(f"{file.name} is not XML ({error})") from error


def _refuse_doctype(*_: object) -> None:
    raise BadBoxError("has a DOCTYPE, which VOC's annotations have not and which may hide an XML bomb")


def _number(box: ElementTree.Element, corner: str, named: str) -> float:
    text = (box.findtext(corner) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadBoxError(f"{corner} of {named} is {text!r}, not a number")
    return value
