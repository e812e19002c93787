"""Parquet files: one, or a folder of them; their names or folders define the splits ("train-00000-of-00002.parquet").

Each split is read separately, because the files of two splits may number the classes differently.
"""

import glob
import re
from pathlib import Path

import datasets
import pyarrow.parquet as pq

from recipes.data.folder import is_described, split_of
from recipes.data.notes import Noted, some
from recipes.data.source import Reader


def find(spec: str) -> Reader | None:
    """A reader for SPEC.parquet, or for the parquet files of a folder that is not described for `datasets`."""
    root = Path(spec)
    if root.suffix == ".parquet" and root.is_file():
        return lambda boxes: Noted({"train": _rows(spec, [root])})
    if not root.is_dir() or is_described(root):
        return None
    files = sorted(file for file in root.rglob("*.parquet") if file.is_file() and file.stem != "metadata")
    return (lambda boxes: _splits(spec, root, files)) if any(map(_has_images, files)) else None


def _has_images(file: Path) -> bool:
    """Whether a column is of type Image; a folder of images may have other tables."""
    try:
        features = datasets.Features.from_arrow_schema(pq.read_schema(file))
    except (OSError, ValueError):  # no parquet: loading it reports this
        return True
    return any(isinstance(feature, datasets.Image) for feature in features.values())


def _splits(spec: str, root: Path, files: list[Path]) -> Noted:
    """The splits by their usual names, without files of no split; if no name is that of a split, all files are
    "train"."""
    named = {file: _split_of(file.relative_to(root)) for file in files}
    others = [str(file.relative_to(root)) for file, split in named.items() if split is None]
    if len(others) == len(files):
        return Noted({"train": _rows(spec, files)})
    notes = [f"ignored: {some(others)}, whose names tell no split"] if others else []
    splits = {
        split: [file for file in files if named[file] == split] for split in dict.fromkeys(named.values()) if split
    }
    return Noted({split: _rows(spec, found) for split, found in splits.items()}, notes)


def _split_of(file: Path) -> str | None:
    """The split of a file by the first word of its name, or else its folder, or else any other word."""
    first, *words = re.split(r"[-._ ]+", file.stem)
    told = (split_of(word) for word in (first, *reversed(file.parts[:-1]), *words))
    return next((split for split in told if split), None)


def _features(spec: str, file: Path) -> datasets.Features:
    try:
        return datasets.Features.from_arrow_schema(pq.read_schema(file))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot load the data set {spec!r}: {file} is no parquet file ({error})") from error


def _rows(spec: str, files: list[Path]) -> datasets.Dataset:
    features = {file: _features(spec, file) for file in files}
    other = next((file for file in files if features[file] != features[files[0]]), None)
    if other is not None:
        raise ValueError(
            f"data set {spec!r}: {other} has other columns or classes than {files[0]}, and is of the same split"
        )
    if not any(pq.read_metadata(file).num_rows for file in files):
        return datasets.Dataset(features[files[0]].arrow_schema.empty_table())
    return datasets.Dataset.from_parquet([glob.escape(str(file)) for file in files])
