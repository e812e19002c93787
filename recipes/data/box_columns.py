"""Boxes in a column of a `datasets` set, in any form: one box, several boxes, boxes in a struct, or none."""

from collections.abc import Iterator
from typing import Any

import datasets

from recipes.data.boxes import (
    MOST_BOXES,
    NO_BOX,
    TOO_MANY,
    Annotated,
    BadBoxError,
    Box,
    annotated,
    check_corners,
    finite,
)
from recipes.data.image_table import BOX_FEATURES, box_table
from recipes.data.options import DataSource

NAMES = ("bbox", "bboxes", "box", "boxes")
"""Names of columns that are taken for boxes, in this order; then "objects" with one of these fields."""

_BATCH = 1000


def box_rows(source: DataSource, rows: datasets.Dataset) -> datasets.Dataset:
    """The columns of `recipes.data.image_table.BOX_FEATURES` for a split; no image is read.

    Raises:
        ValueError: There is no such column; the message lists the columns.
    """
    if source.box_column is None and {"boxes", "box_problem"} <= set(rows.features):  # read from XML, and checked
        if source.box_format != "xyxy":
            raise ValueError(
                f"--box-format {source.box_format} is for a column; the annotations of {source.spec!r}, "
                "in XML, have corners. Leave it out"
            )
        return rows.select_columns([name for name in BOX_FEATURES if name in rows.features])
    path = _path(source, rows.features)
    return box_table(annotated_value(value, source.box_format == "xywh") for value in _values(rows, path))


def _path(source: DataSource, features: datasets.Features) -> tuple[str, ...]:
    """The column, and the field in it if it is a struct: the given one, or else the first with a name of boxes."""
    named = source.box_column
    fields = {name: _fields(feature) for name, feature in features.items()}
    paths: dict[str, tuple[str, ...]] = {
        f"{name}.{field}": (name, field) for name, inside in fields.items() for field in inside
    }
    for name, inside in fields.items():
        paths[name] = next(((name, field) for field in NAMES if field in inside), ()) if inside else (name,)
    wanted = next((name for name in (*NAMES, "objects") if name in features), "") if named is None else named
    if path := paths.get(wanted):
        return path
    raise ValueError(
        f"data set {source.spec!r} has no column of boxes{f' {named!r}' if named else ''} (--box-column); it has "
        f"{_listed(features)}. Columns named {', '.join(NAMES)} and objects are found by themselves; 'objects.bbox' is "
        "the field bbox of the column objects"
    )


def _fields(feature: Any) -> dict[str, Any]:
    """Fields of a struct, or of the structs in a list."""
    inner = getattr(feature, "feature", feature)
    return inner if isinstance(inner, dict) else {}


def _listed(features: datasets.Features) -> str:
    return ", ".join(
        f"{name} ({', '.join(f'{name}.{field}' for field in _fields(feature)) or type(feature).__name__})"
        for name, feature in features.items()
    )


def _values(rows: datasets.Dataset, path: tuple[str, ...]) -> Iterator[Any]:
    column, *fields = path
    for batch in rows.select_columns([column]).with_format("arrow").iter(_BATCH):
        for value in batch[column].to_pylist():
            yield _field(value, fields[0]) if fields else value


def _field(value: Any, name: str) -> Any:
    """The field of a struct, or of each struct of a list."""
    if isinstance(value, list):
        return [None if one is None else one[name] for one in value]
    return None if value is None else value[name]


def annotated_value(value: Any, sizes: bool) -> Annotated:
    """A column's value: a box of 4 numbers, or a list of such boxes."""
    if value is None or value == []:
        return Annotated([], [], NO_BOX)
    several = isinstance(value, list) and any(isinstance(one, list) for one in value)
    given = value if several else [value]
    if len(given) > MOST_BOXES:
        return Annotated([], [], f"{TOO_MANY} ({len(given):,}; at most {MOST_BOXES:,})")
    good, bad = [], []
    for one in given:
        try:
            good.append(_box(one, sizes))
        except BadBoxError as error:
            bad.append(str(error))
    return annotated(good, bad, NO_BOX)


def _box(value: Any, sizes: bool) -> Box:
    if not isinstance(value, list):
        raise BadBoxError(f"box is {str(value)[:40]!r}, not 4 numbers")
    if len(value) != 4:
        raise BadBoxError(f"box of {len(value)} numbers, not 4")
    left, top, right, bottom = (finite(one) for one in value)
    if sizes:
        right, bottom = finite(left + right), finite(top + bottom)
    check_corners((left, top, right, bottom))
    if right - left < 1 or bottom - top < 1:
        raise BadBoxError(f"box less than a pixel ({right - left:g} × {bottom - top:g}); boxes are in pixels")
    return left, top, right, bottom
