"""Command-line options that several commands share."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipes.loading import BOX_FORMATS, DataSource


def add_data_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Options that make a `DataSource`."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", required=required, help="'digits', a Hub id, a folder of images, VOC's, ILSVRC's, or parquet"
    )
    group.add_argument("--image-column", help="default: the first of type Image")
    group.add_argument("--label-column", help="default: the first of type ClassLabel; numbers and texts do too")
    group.add_argument("--training-split", default="train", help="default: train")
    group.add_argument("--validation-split", help="default: validation, val, valid or test; else a fifth is held out")
    group.add_argument("--box-column", help="default: bbox, bboxes, box, boxes, or one of them in objects")
    group.add_argument(
        "--box-format",
        choices=BOX_FORMATS,
        default=BOX_FORMATS[0],
        help="left, top, right, bottom (the default), or left, top, width, height; in pixels",
    )
    group.add_argument("--class-names", type=Path, help="file with one name a line, in the order of the labels")


def data_source(args: argparse.Namespace) -> DataSource:
    """What `add_data_options` asked for."""
    return DataSource(
        spec=args.data,
        image_column=args.image_column,
        label_column=args.label_column,
        training_split=args.training_split,
        validation_split=args.validation_split,
        box_column=args.box_column,
        box_format=args.box_format,
        class_names=args.class_names,
    )


def column_options(args: argparse.Namespace) -> dict[str, Any]:
    """What of the options decides which images, labels and boxes a data set gives, whatever its place."""
    given = asdict(data_source(args))
    del given["spec"]
    return {name: None if value is None else str(value) for name, value in given.items()}


def data_arguments(args: argparse.Namespace) -> list[str]:
    """The same options, for another command."""
    given = asdict(data_source(args))
    given["data"] = given.pop("spec")
    return [word for name, value in given.items() if value for word in (f"--{name.replace('_', '-')}", str(value))]


def add_precision(parser: argparse._ActionsContainer) -> None:
    """The option that says how numbers are held."""
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp64"),
        help="of the arithmetic; default as accelerate launch says, else fp32. bf16 keeps fp32 weights",
    )


def add_exact(parser: argparse._ActionsContainer) -> None:
    """The option that turns Winograd's convolutions off."""
    parser.add_argument(
        "--exact", action="store_true", help="the net itself on a CPU, not its fast copy; equal but for rounding"
    )


def add_hardware_options(parser: argparse.ArgumentParser) -> None:
    """Options that say on what hardware."""
    group = parser.add_argument_group("hardware; changes nothing of what is learned")
    group.add_argument("--workers", type=int, default=0, help="processes that load images, for each training process")
    group.add_argument("--device-batch", type=int, help="most images at once on a device; more are accumulated")
    add_precision(group)
    group.add_argument("--channels-last", action="store_true", help="NHWC layout, faster on recent GPUs")
    group.add_argument("--compile", action="store_true", help="torch.compile the net")
    group.add_argument("--gradient-checkpointing", action="store_true", help="recompute activations to save memory")
    group.add_argument("--bf16-gradients", action="store_true", help="DDP sends gradients between processes as bf16")
    group.add_argument("--deterministic", action="store_true", help="the same bits on a GPU in every run; slower")
