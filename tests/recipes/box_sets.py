"""Small folders in ILSVRC's and VOC's layouts, with boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.recipes.data_sets import write_lines

WIDTH, HEIGHT = 48, 36
WNIDS = ("n01440764", "n01443537")


def photo(file: Path, number: int = 0) -> None:
    """A JPEG of 48 × 36 pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (number % 250, 80, 80)).save(file, quality=90)


def objects(*found: tuple[str, Sequence[Any]]) -> str:
    """An annotation of named boxes, (xmin, ymin, xmax, ymax)."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, box in found
    )
    return f"<annotation>\n\t<folder>x</folder>\r\n\t{inner}</annotation>"


def write(file: Path, text: str) -> None:
    """A file, in folders that are made for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def ilsvrc(root: Path, training: int = 4, validation: int = 3, lists: bool = True) -> Path:
    """A CLS-LOC folder of two classes; every second training image has an annotation, every validation image too."""
    named: dict[str, list[str]] = {"train_cls": [], "train_loc": [], "val": []}
    for wnid in WNIDS:
        for number in range(training):
            name = f"{wnid}/{wnid}_{number}"
            photo(root / "Data" / "CLS-LOC" / "train" / f"{name}.JPEG", number)
            named["train_cls"].append(name)
            if number % 2 == 0:
                box = (number, 0, 20 + number, 30)
                write(root / "Annotations" / "CLS-LOC" / "train" / f"{name}.xml", objects((wnid, box)))
                named["train_loc"].append(name)
    for number in range(validation):
        name = f"ILSVRC2012_val_{number + 1:08}"
        photo(root / "Data" / "CLS-LOC" / "val" / f"{name}.JPEG", number)
        text = objects((WNIDS[number % 2], (0, 1, WIDTH - 1, HEIGHT - 1)))
        write(root / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml", text)
        named["val"].append(name)
    for name, images in named.items():
        if lists:
            write_lines(
                root / "ImageSets" / "CLS-LOC" / f"{name}.txt", [f"{one} {n}" for n, one in enumerate(images, 1)]
            )
    return root


def voc_objects(root: Path, splits: Mapping[str, Mapping[str, str]]) -> Path:
    """A VOC folder: of each split, the annotation of each image."""
    for split, images in splits.items():
        for number, (name, text) in enumerate(images.items()):
            photo(root / "JPEGImages" / f"{name}.jpg", number)
            write(root / "Annotations" / f"{name}.xml", text)
        write_lines(root / "ImageSets" / "Main" / f"{split}.txt", list(images))
    return root
