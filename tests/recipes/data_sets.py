"""Small data sets in the folder layouts of VOC and Caltech, whose classes are colours with stripes."""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image

import vgg_zoo
from recipes.features.voc import ACTIONS, CLASSES

SIDE = 40


def net_folder(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A small net A with random weights, whose crop is 32 pixels."""
    torch.manual_seed(seed)
    small = {"width_multiplier": 0.2, "head_hidden_size": 128, "head_kernel_size": 1, "num_classes": 10}
    vgg_zoo.DenseEvaluator(timm.create_model("vgg_a", **small | changes), scales=(32, 40)).save_pretrained(folder)
    return folder


def texture(number: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """(SIDE, width, 3) of a class: a hue, stripes of a frequency, noise."""
    hue = np.array(colorsys.hsv_to_rgb((number * 0.382) % 1, 0.9, 1))
    places = np.arange(SIDE)[:, None] + (number % 3) * np.arange(width)[None]
    stripes = 0.6 + 0.4 * np.sin(places * (0.3 + 0.25 * (number % 4)) + generator.uniform(0, 6))
    noisy = 255 * stripes[..., None] * hue + generator.normal(0, 8, (SIDE, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def save(file: Path, numbers: Sequence[int], generator: np.random.Generator) -> None:
    """An image with the textures of some classes side by side."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([texture(one, SIDE, generator) for one in numbers], 1)).save(file, quality=95)


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """A list, as VOC has them, with a blank line at its end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def voc(root: Path, train: int = 60, val: int = 60, test: int = 60, labelled_test: bool = True) -> Path:
    """A VOC folder: images of one or two of the 20 classes; some are difficult for a third one."""
    generator = np.random.default_rng(0)
    first = 0
    listed: dict[str, list[tuple[str, list[int]]]] = {}
    for name, count in (("train", train), ("val", val), ("test", test)):
        listed[name] = []
        for number in range(first, first + count):
            labels = [-1] * len(CLASSES)
            shown = [number % 20, *([(number * 7 + 3) % 20] if number % 2 else [])]
            for one in shown:
                labels[one] = 1
            labels[(number + 11) % 20] = max(labels[(number + 11) % 20], 0)
            save(root / "JPEGImages" / f"{number:06}.jpg", shown, generator)
            listed[name].append((f"{number:06}", labels))
        first += count
    listed["trainval"] = listed["train"] + listed["val"]
    for name, rows in listed.items():
        write_lines(root / "ImageSets" / "Main" / f"{name}.txt", [image for image, _ in rows])
        if name != "test" or labelled_test:
            for place, one in enumerate(CLASSES):
                lines = [f"{image} {labels[place]:2d}" for image, labels in rows]
                write_lines(root / "ImageSets" / "Main" / f"{one}_{name}.txt", lines)
    return root


def annotation(boxes: Sequence[Sequence[Any]]) -> str:
    """VOC's XML of an image of some persons."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>person</name><bndbox>"
        + "".join(f"<{name}>{value}</{name}>" for name, value in zip(corners, box, strict=True))
        + "</bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for box in boxes
    )
    return f"<annotation><folder>VOC2012</folder>{objects}</annotation>"


def actions(root: Path, images: int = 60, labelled_test: bool = True) -> Path:
    """A VOC folder of persons: two in every image, side by side, each with an action or, rarely, another one.

    As in the kit, a set's list has images only, and the classes' files have the persons, in the test without labels.
    """
    generator = np.random.default_rng(1)
    persons: dict[str, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    for number in range(images):
        image, shown = f"2012_{number:06}", [number % 11, (number * 3 + 1) % 11]  # the eleventh is none of the ten
        save(root / "JPEGImages" / f"{image}.jpg", shown, generator)
        boxes = [(1 + SIDE * place, 1, SIDE * (place + 1), SIDE) for place in range(2)]
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{image}.xml").write_text(annotation(boxes))
        persons[("train", "val", "test")[3 * number // images]] += [(f"{image}  {n + 1}", shown[n]) for n in range(2)]
    persons["trainval"] = persons["train"] + persons["val"]
    for name, rows in persons.items():
        write_lines(root / "ImageSets" / "Action" / f"{name}.txt", list(dict.fromkeys(p.split()[0] for p, _ in rows)))
        for place, one in enumerate(ACTIONS):
            told = labelled_test or name != "test"
            lines = [person + (f"  {1 if action == place else -1}" if told else "") for person, action in rows]
            write_lines(root / "ImageSets" / "Action" / f"{one}_{name}.txt", lines)
    return root


def caltech(root: Path, counts: dict[str, int]) -> Path:
    """A folder of images for each class, and the files that Caltech-256 has besides."""
    generator = np.random.default_rng(2)
    for number, (name, count) in enumerate(counts.items()):
        for place in range(count):
            save(root / name / f"image_{place + 1:04}.jpg", [number * 3], generator)
        (root / name / "RENAME2").write_text("mv")
        (root / name / "._image_0001.jpg").write_bytes(b"of a Mac")
    return root
