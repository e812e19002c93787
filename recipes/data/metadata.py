"""Tables beside images, as in `datasets`: metadata.csv, .jsonl or .parquet with a column "file_name"."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from recipes.data.listing import Tree
from recipes.data.notes import many, some

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")

_FILE = "file_name"


def tables_in(tree: Tree) -> list[str]:
    """Paths of the tables in a folder and its sub-folders."""
    return [path for path in tree.all_others() if path.rpartition("/")[2] in NAMES]


@dataclass(frozen=True, slots=True)
class Described:
    """Rows of tables, and notes about them."""

    rows: datasets.Dataset
    notes: list[str]


def described(spec: str, root: Path, tree: Tree) -> Described:
    """The rows of all tables in a folder: "image" is the file of "file_name"; other columns do not change.

    Args:
        spec: Name of the data set, for messages.
        root: The folder.
        tree: Its content.

    Raises:
        ValueError: A table cannot be read, has no column of files, has a path out of the folder, or differs from
            another.
    """
    images, parts, notes, named = set(tree.every()), [], [], set[str]()
    for path in tables_in(tree):
        inside = path.rpartition("/")[0]
        table = _read(spec, root / path)
        parts.append(_rows(spec, root, path, table))
        files = {str(PurePosixPath(inside, name)) for name in parts[-1][1]}
        missing = sorted(files - images)
        if missing:
            notes.append(f"{root.name}/{path}: {many(len(missing), 'line')} without the image: {some(missing, 10)}")
        named |= files
    lacking = [name for name in tree.every() if name not in named]
    if lacking:
        notes.append(f"{root.name}: {many(len(lacking), 'image')} without a line in {path}: {some(lacking, 10)}")
    try:
        return Described(datasets.concatenate_datasets([rows for rows, _ in parts]), notes)
    except ValueError as error:
        raise ValueError(f"cannot load the data set {spec!r}: its tables differ ({error})") from error


def _read(spec: str, file: Path) -> pa.Table:
    try:
        if file.suffix == ".csv":
            # Texts such as "NA" are ordinary names of classes; a file name of digits is a text.
            kinds = pyarrow.csv.ConvertOptions(
                column_types={_FILE: pa.string()}, null_values=[""], strings_can_be_null=True
            )
            return pyarrow.csv.read_csv(file, convert_options=kinds)
        if file.suffix == ".jsonl":
            size = max(file.stat().st_size, 1)  # one block: a later one could not change a column's type
            return pyarrow.json.read_json(file, read_options=pyarrow.json.ReadOptions(block_size=size))
        return pq.read_table(file)
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"cannot load the data set {spec!r}: {file} is no table ({error})") from error


def _rows(spec: str, root: Path, path: str, table: pa.Table) -> tuple[datasets.Dataset, list[str]]:
    """A table with images instead of file names, and the names of the first such column."""
    columns = {name: _image_column(name) for name in table.column_names if _image_column(name)}
    if not columns:
        raise ValueError(
            f"cannot load the data set {spec!r}: {root / path} has no column {_FILE!r}; it has "
            f"{', '.join(table.column_names)}"
        )
    features = datasets.Features.from_arrow_schema(table.schema)
    arrays: dict[str, Any] = {}
    first: list[str] = []
    for name in table.column_names:
        image = columns.get(name)
        if image is None:
            arrays[name] = table[name]
            continue
        files = [None if one is None else _inside(spec, root / path, str(one)) for one in table[name].to_pylist()]
        first = first or [one for one in files if one is not None]
        paths = [None if one is None else str((root / path).parent / one) for one in files]
        stored = {"bytes": pa.nulls(len(paths), pa.binary()), "path": pa.array(paths, pa.string())}
        arrays[image] = pa.StructArray.from_arrays(stored.values(), stored.keys())
    kinds = {columns.get(name, name): datasets.Image() if name in columns else features[name] for name in features}
    schema = datasets.Features(kinds).arrow_schema
    return datasets.Dataset(
        pa.table(arrays).cast(pa.schema([schema.field(name) for name in arrays], schema.metadata))
    ), first


def _image_column(name: str) -> str:
    """Name of the column of images for a column of files, as in `datasets`; "" for other columns."""
    if name == _FILE:
        return "image"
    return name.removesuffix(f"_{_FILE}") if name.endswith(f"_{_FILE}") else ""


def _inside(spec: str, file: Path, name: str) -> str:
    plain = os.path.normpath(name)
    if plain.startswith("/") or plain.split("/")[0] == ".." or "\0" in name or "://" in name:
        raise ValueError(f"data set {spec!r}: {file} names {name!r}, a path out of its folder")
    return plain
