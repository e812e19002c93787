"""Loading the value of `--data` with the right reader: files and folders of all kinds, the Hub, the bundled digits."""

import glob
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets

from recipes.data.options import DataSource
from recipes.runtime.look import show_bars_of_datasets

Wanted = Callable[[str], bool]
"""Names of the splits for which boxes are wanted."""

Reader = Callable[[Wanted], "datasets.Dataset | datasets.DatasetDict"]
"""A function that reads a data set that was found: its splits, or its only one."""

READERS = ("digits", "ilsvrc", "voc")
"""Files of recipes/data/ that are tried in this order. Each has `find(spec) -> Reader | None`; see docs/adding.md."""

_LAST = ("parquet", "folder")
"""Readers of folders of any kind, tried after all others."""


def as_source(source: str | DataSource) -> DataSource:
    """The data source, if only its name is given."""
    return DataSource(spec=source) if isinstance(source, str) else source


def load(spec: str, boxes: Wanted = lambda split: True) -> Any:
    """A `Dataset`, or a `DatasetDict` of its splits.

    Args:
        spec: As in `DataSource`.
        boxes: Splits for which boxes are wanted; annotations with nothing else are not read for other splits.

    Raises:
        ValueError: Nothing can be loaded; the message says what could be given.
    """
    if spec.startswith("~/") and not Path(spec).exists():
        spec = str(Path(spec).expanduser())
    for name in (*READERS, *_LAST):
        reader: Reader | None = import_module(f"recipes.data.{name}").find(spec)
        if reader is not None:
            return reader(boxes)
    path = Path(spec)
    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            return datasets.load_from_disk(spec)
        return _prepared(glob.escape(spec) if path.exists() else spec)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetsError) and error.__cause__ else error
        raise ValueError(
            f"cannot load the data set {spec!r} ({type(cause).__name__}: {cause}). Give 'digits', 'pasted_digits', a "
            "folder with a folder of images for each class, ILSVRC's or VOC's folder, a parquet file, or the id of a "
            "data set on the Hub (and be online)"
        ) from error


def _prepared(spec: str) -> Any:
    """What `datasets.load_dataset` gives, with progress bars only of what has to be fetched or prepared."""
    builder = datasets.load_dataset_builder(spec)
    lacking = not (Path(builder.cache_dir) / "dataset_info.json").exists()
    show_bars_of_datasets(lacking and os.environ.get("LOCAL_RANK", "0") == "0")
    try:
        builder.download_and_prepare()
    finally:
        show_bars_of_datasets(False)
    return builder.as_dataset()
