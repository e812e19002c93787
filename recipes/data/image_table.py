"""Tables of images for readers of folders, built column by column without opening an image."""

from collections.abc import Iterable, Sequence
from typing import Any

import datasets
import pyarrow as pa

from recipes.data.boxes import Annotated

BOX_FEATURES = datasets.Features(
    boxes=datasets.List(datasets.List(datasets.Value("float64"))),
    bad_boxes=datasets.List(datasets.Value("string")),
    box_problem=datasets.Value("string"),
)
"""For an image: its boxes as in `Annotated`, why other boxes are not usable, and why there is no box, or ""."""


def box_table(found: Iterable[Annotated]) -> datasets.Dataset:
    """The content of annotations as a table with the columns of `BOX_FEATURES`."""
    return _table(_box_columns(found), BOX_FEATURES)


def image_table(
    paths: Sequence[str], labels: Sequence[int], classes: Sequence[str], found: Iterable[Annotated] | None
) -> datasets.Dataset:
    """The columns "image", undecoded, and "label"; with an annotation for each image, also `BOX_FEATURES`."""
    features = datasets.Features(image=datasets.Image(decode=False), label=datasets.ClassLabel(names=list(classes)))
    stored = {"bytes": pa.nulls(len(paths), pa.binary()), "path": pa.array(paths, pa.string())}
    columns = {"image": pa.StructArray.from_arrays(stored.values(), stored.keys()), "label": labels}
    if found is None:
        return _table(columns, features)
    return _table(columns | _box_columns(found), datasets.Features(features | BOX_FEATURES))


def _box_columns(found: Iterable[Annotated]) -> dict[str, Any]:
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    return dict(zip(BOX_FEATURES, columns, strict=True))


def _table(columns: dict[str, Any], features: datasets.Features) -> datasets.Dataset:
    """Like `Dataset.from_dict`, which takes a minute for a million rows because it encodes them one by one."""
    return datasets.Dataset(pa.table(columns, schema=features.arrow_schema))
