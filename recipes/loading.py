"""From what `--data` names to rows: the bundled digits, files and folders of all kinds, the Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from recipes.cls_loc import find_cls_loc
from recipes.image_table import Wanted
from recipes.pasted_digits import pasted_digits
from recipes.voc_objects import find_voc_objects

BOX_FORMATS = ("xyxy", "xywh")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSource:
    """Where the images are, and how to find them in there.

    Attributes:
        spec: "digits" (bundled with scikit-learn) or "pasted_digits" (the same on photos, with boxes), or what
            `datasets.load_dataset` takes: a Hub id, a folder of images with a folder for each class, a parquet file or
            a folder of them; or a folder of `save_to_disk`; or ILSVRC's CLS-LOC folder (`recipes.cls_loc`) or VOC's
            (`recipes.voc_objects`).
        image_column: None takes the first column of type Image.
        label_column: None takes the first column of type ClassLabel; a named one may also hold numbers or texts.
        training_split: Its name.
        validation_split: None takes validation, val, valid or test; where there is none, a fifth of each class is held
            out of the training images.
        box_column: None takes bbox, bboxes, box, boxes, or one of them in the struct objects; a dot, as in
            "objects.bbox", names a field.
        box_format: "xyxy", left, top, right, bottom, or "xywh", left, top, width, height; in pixels of the upright
            image, from 0; right and bottom are the first beyond the box.
        class_names: File with one name a line, in the order of the labels; None takes the names of the label column.
    """

    spec: str
    image_column: str | None = None
    label_column: str | None = None
    training_split: str = "train"
    validation_split: str | None = None
    class_names: Path | None = None
    box_column: str | None = None
    box_format: str = BOX_FORMATS[0]

    def __post_init__(self) -> None:
        if self.box_format not in BOX_FORMATS:
            raise ValueError(f"unknown box_format {self.box_format!r}; choose from {', '.join(BOX_FORMATS)}")


def as_source(source: str | DataSource) -> DataSource:
    """Where the images are, if it is only named."""
    return DataSource(spec=source) if isinstance(source, str) else source


def all_boxes(split: str) -> bool:
    """Boxes of every split are wanted."""
    return True


def load(spec: str, boxes: Wanted = all_boxes) -> Any:
    """A `Dataset`, or a `DatasetDict` of its splits.

    Args:
        spec: As `DataSource` has it.
        boxes: Of which splits boxes are wanted; annotations that tell nothing else are not read for the others.

    Raises:
        ValueError: Nothing can be loaded; the message says what could be given.
    """
    if spec == "digits":
        return _digits()
    if spec == "pasted_digits":
        return pasted_digits()
    path = Path(spec)
    if path.suffix == ".parquet":
        return datasets.load_dataset("parquet", data_files=spec)
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        return datasets.load_from_disk(spec)
    if (cls_loc := find_cls_loc(path)) is not None:
        return cls_loc.splits(boxes)
    if (voc := find_voc_objects(path)) is not None:
        return voc.splits()
    try:
        return datasets.load_dataset(spec)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot load the data set {spec!r} ({type(error).__name__}: {error}). Give 'digits', 'pasted_digits', a "
            "folder with a folder of images for each class, ILSVRC's or VOC's folder, a parquet file, or the id of a "
            "data set on the Hub (and be online)"
        ) from error


def _digits() -> datasets.Dataset:
    from sklearn.datasets import load_digits  # an extra that only this set needs

    digits = load_digits()
    images = [Image.fromarray((image * (255 / 16)).astype(np.uint8)) for image in digits.images]
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list("0123456789")))
    return datasets.Dataset.from_dict({"image": images, "label": digits.target.tolist()}, features=features)
