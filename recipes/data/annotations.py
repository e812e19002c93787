"""Objects in XML annotations of PASCAL VOC and ILSVRC, which may be untrusted."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from recipes.data.boxes import MOST_BOXES, TOO_MANY, Annotated, BadBoxError, Box, annotated, check_corners, finite

MOST_BYTES = 2**22
"""Maximum size of an annotation; VOC's largest has some kilobytes."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Object(NamedTuple):
    """An object of an annotation.

    Attributes:
        name: Name of its class; "" if it has none.
        box: (left, top, right, bottom) in whole pixels from the image's corner; None with a problem.
        problem: "", or why there is no usable box.
    """

    name: str
    box: Box | None
    problem: str


def read_objects(file: Path, first: int) -> list[Object]:
    """All objects of an annotation, in its order, including those without a usable box.

    Args:
        file: XML in the form of VOC and ILSVRC.
        first: The coordinate of the first pixel: 1 in VOC, 0 in ILSVRC. Both include the last pixel.

    Raises:
        BadBoxError: There is no file, it is not plain XML, or it has too many objects.
    """
    objects = _parsed(file).findall("object")
    if len(objects) > MOST_BOXES:
        raise BadBoxError(f"{TOO_MANY} in {file.name} ({len(objects):,}; at most {MOST_BOXES:,})")
    return [_object(one, first, f"object {number} of {file.name}") for number, one in enumerate(objects, 1)]


def boxes_of(objects: Iterable[Object], none: str) -> Annotated:
    """The boxes of some objects, and the problems of the others; `none` is the problem if there are no objects."""
    objects = list(objects)
    good = [one.box for one in objects if one.box is not None]
    return annotated(good, [one.problem for one in objects if one.box is None], none)


def object_box(file: Path, number: int) -> Box:
    """The box of one object.

    Args:
        file: An annotation of VOC.
        number: Number of the object in the image, from 1, as in ImageSets/Action and ImageSets/Layout.

    Returns:
        (left, top, right, bottom) in whole pixels from the corner; VOC's own coordinates begin at 1 and include the
        last pixel.

    Raises:
        BadBoxError: There is no file, no plain XML, no such object, or no box with a pixel.
    """
    objects = _parsed(file).findall("object")
    if not 1 <= number <= len(objects):
        raise BadBoxError(f"{file.name} has {len(objects)} object(s), no object {number}")
    return _box(objects[number - 1], 1, f"object {number} of {file.name}")


def _object(found: ElementTree.Element, first: int, named: str) -> Object:
    name = (found.findtext("name") or "").strip()
    try:
        box = _box(found, first, named)
    except BadBoxError as error:
        return Object(name, None, str(error))
    return Object(name, box, "") if name else Object("", None, f"object without name ({named})")


def _box(found: ElementTree.Element, first: int, named: str) -> Box:
    corners = found.find("bndbox")
    if corners is None:
        raise BadBoxError(f"object without bndbox ({named})")
    left, top, right, bottom = (_number(corners, corner, named) for corner in _CORNERS)
    check_corners((left, top, right, bottom), inclusive=True, named=named)
    return (  # some are fractions, and 1e300 is a whole number that only a float holds
        float(math.floor(left) - first),
        float(math.floor(top) - first),
        float(math.ceil(right) - first + 1),
        float(math.ceil(bottom) - first + 1),
    )


def _number(box: ElementTree.Element, corner: str, named: str) -> float:
    text = (box.findtext(corner) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else finite(text, f"{corner} of {named}")


def _parsed(file: Path) -> ElementTree.Element:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadBoxError(f"the annotation {file} cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise BadBoxError(f"{file.name} has {len(data):,} bytes; an annotation has at most {MOST_BYTES:,}")
    parser, tree = expat.ParserCreate(), ElementTree.TreeBuilder()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = _refuse_doctype  # before any entity is declared, which could grow to gigabytes
    try:
        parser.Parse(data, True)
    except BadBoxError as error:
        raise BadBoxError(f"{file.name} {error}") from error
    except (expat.ExpatError, LookupError, ValueError) as error:  # unknown encodings too
        raise BadBoxError(f"{file.name} is not XML ({error})") from error
    return tree.close()


def _refuse_doctype(*_: object) -> None:
    raise BadBoxError("has a DOCTYPE, which annotations of VOC and ILSVRC do not have and which may hide an XML bomb")


def listed_images(file: Path, numbered: bool = False) -> list[str]:
    """The images of a list, in its order.

    Args:
        file: Lines "name" or "folder/name", without the file's extension; empty lines are skipped.
        numbered: A number may follow on each line, as in ILSVRC's lists.

    Raises:
        ValueError: The file is missing or empty, a line has another form, a path leads out of the folder, or an image
            is listed twice.
    """
    if not file.is_file():
        raise ValueError(f"{file} is {'no file' if file.exists() else 'missing'}; expected a list of images")
    found: dict[str, None] = {}
    for place, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        plain = len(words) == 1 or (numbered and len(words) == 2 and words[1].isdecimal())
        if not plain or {"", ".", ".."}.intersection(words[0].split("/")) or "\\" in words[0] or "\0" in words[0]:
            form = "name number" if numbered else "name"
            raise ValueError(f"{file}, line {place}: expected {form!r}, got {line!r}")
        if words[0] in found:
            raise ValueError(f"{file}, line {place}: {words[0]!r} is listed twice")
        found[words[0]] = None
    if not found:
        raise ValueError(f"{file} is empty")
    return list(found)
