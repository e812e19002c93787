"""The options for the images, --data and its companions, and the `DataSource` that they make."""

import argparse
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from recipes.runtime.values import data_set, existing_file

BOX_FORMATS = ("xyxy", "xywh")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSource:
    """The source of the images, and how to read it.

    Attributes:
        spec: "digits" (bundled with scikit-learn) or "pasted_digits" (the same on photos, with boxes); ILSVRC's CLS-LOC
            folder (`recipes.data.ilsvrc`) or VOC's (`recipes.data.voc`); a parquet file or a folder of them
            (`recipes.data.parquet`); a folder of images (`recipes.data.folder`); a folder of `save_to_disk`; or
            anything else for `datasets.load_dataset`, such as a Hub id.
        image_column: None takes the first column of type Image.
        label_column: None takes the first column of type ClassLabel; a named one may also hold numbers or texts.
        training_split: Name of the split or its folder.
        validation_split: None takes validation, val, valid or a labelled test; if there is none, a fifth of each class
            is held out from the training images.
        box_column: None takes bbox, bboxes, box, boxes, or one of them in the struct objects; a dot, as in
            "objects.bbox", names a field.
        box_format: "xyxy", left, top, right, bottom, or "xywh", left, top, width, height; in pixels of the upright
            image, from 0; right and bottom are the first beyond the box.
        class_names: File with one name a line. If these are the label column's own names, the file sets their order;
            other names name its labels from 0. None takes the names of the label column.
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


def add_data_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Options that make a `DataSource`."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        type=data_set,
        required=required,
        help="'digits', a Hub id, a folder of images, VOC's, ILSVRC's, or parquet"
        + ("" if required else "; default: none"),
    )
    group.add_argument("--image-column", help="default: the first of type Image")
    group.add_argument("--label-column", help="default: the first of type ClassLabel; numbers and texts do too")
    group.add_argument("--training-split", default="train", help="its name, or its folder's")
    group.add_argument("--validation-split", help="default: validation, val, valid or test; else a fifth is held out")
    group.add_argument("--box-column", help="default: bbox, bboxes, box, boxes, or one of them in objects")
    group.add_argument(
        "--box-format",
        choices=BOX_FORMATS,
        default=BOX_FORMATS[0],
        help="left, top, right, bottom, or left, top, width, height; in pixels",
    )
    group.add_argument(
        "--class-names",
        type=existing_file,
        help="file with one name a line, in the order of the labels; default: as the data set names its classes",
    )


def data_source(args: argparse.Namespace) -> DataSource:
    """The `DataSource` from the options of `add_data_options`."""
    names = [field.name for field in fields(DataSource) if field.name != "spec"]
    return DataSource(spec=args.data, **{name: getattr(args, name) for name in names})


def column_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that determine the images, labels and boxes of a data set, without its path."""
    given = asdict(data_source(args))
    del given["spec"]
    return {name: None if value is None else str(value) for name, value in given.items()}


def about_data(args: argparse.Namespace, split: Any) -> dict[str, Any]:
    """The description of the test images, a `LabelledImages`, for results.json."""
    named = args.validation_split or split.name
    return {"spec": args.data, "split": named, "classes": len(split.class_names)}


def data_arguments(args: argparse.Namespace) -> list[str]:
    """The same options, for another command."""
    given = asdict(data_source(args))
    given["data"] = given.pop("spec")
    return [word for name, value in given.items() if value for word in (f"--{name.replace('_', '-')}", str(value))]
