"""PASCAL VOC's own folders: ImageSets/Main for classification, ImageSets/Action for actions of persons in boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.data.annotations import object_box
from recipes.features.samples import Box, Numbers, Samples, Split
from vgg_zoo.images.decoding import Pixels, read_pixels

# fmt: off
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
ACTIONS = (
    "jumping", "phoning", "playinginstrument", "reading", "ridingbike", "ridinghorse", "running", "takingphoto",
    "usingcomputer", "walking",
)
# fmt: on
"""The ten actions that the kit trains and evaluates; the eleventh, "other", is a negative of all ("skip other")."""

TRAINED_ON = {"test": "trainval", "val": "train"}
"""The training set for each test set."""

SOURCES = {
    2007: "VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar of host.robots.ox.ac.uk/pascal/VOC/voc2007",
    2012: "VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012; the test images are at the "
    "evaluation server, host.robots.ox.ac.uk:8080 (--test-set val needs none)",
}


@dataclass(frozen=True, slots=True)
class Voc:
    """A year's folder, the one with JPEGImages, Annotations and ImageSets."""

    root: Path
    year: int

    def classification(self, test_set: str) -> Samples:
        """Images and their 20 classes; an image that is difficult for a class has 0 there.

        Args:
            test_set: "test", trained on trainval, or "val", trained on train.

        Raises:
            ValueError: A file is missing or has a line that is not valid; the message names both.
        """
        return self._samples("Main", CLASSES, test_set, boxes=False)

    def actions(self, test_set: str, boxes: bool) -> Samples:
        """Persons and their ten actions; a sample's name is "image number", with the person's number in the image.

        Args:
            test_set: As in `classification`.
            boxes: Read the persons' boxes from Annotations.

        Raises:
            ValueError: As in `classification`.
        """
        return self._samples("Action", ACTIONS, test_set, boxes)

    def _samples(self, kind: str, classes: Sequence[str], test_set: str, boxes: bool) -> Samples:
        if test_set not in TRAINED_ON:
            raise ValueError(f"unknown test set {test_set!r}; choose from {', '.join(TRAINED_ON)}")
        for needed in ("JPEGImages", *(["Annotations"] if boxes else [])):
            if not (self.root / needed).is_dir():
                raise ValueError(f"there is no folder {self.root / needed}; it is in {SOURCES[self.year]}")
        training, known = self._listed(kind, TRAINED_ON[test_set], classes)
        if known is None:
            file = self._found(self._file(kind, f"{classes[0]}_{TRAINED_ON[test_set]}"))
            raise ValueError(f"{file} has no labels to train on")
        test, asked = self._listed(kind, test_set, classes)
        names = [*training, *test]
        images = [name.split()[0] for name in names]
        labels = np.concatenate([known, np.zeros((len(test), len(classes)), np.int8) if asked is None else asked])

        def read(index: int) -> Pixels:
            return read_pixels(self.root / "JPEGImages" / f"{images[index]}.jpg")

        def box(index: int) -> Box:
            image, number = names[index].split()
            return object_box(self.root / "Annotations" / f"{image}.xml", int(number))

        split = Split(np.arange(len(training)), np.arange(len(training), len(names)))
        return Samples(
            names=names,
            images=images,
            class_names=tuple(classes),
            labels=labels,
            read=read,
            box=box if boxes else None,
            splits=(split,),
        )

    def _listed(self, kind: str, name: str, classes: Sequence[str]) -> tuple[list[str], Numbers | None]:
        """Samples of an image set, and (N, K) labels, or None if the classes' files have none or do not exist.

        Images are those of the set's list. Persons are those of the classes' files, because the set's list has only
        images.
        """
        files = [self._file(kind, f"{one}_{name}") for one in classes]
        words, listed, labelled = (1, self._file(kind, name), False) if kind == "Main" else (2, files[0], None)
        samples = list(_lines(self._found(listed), words, labelled))
        if not any(file.exists() for file in files):
            return samples, None
        columns = []
        for file in files:
            found = _lines(self._found(file), words)
            if absent := [sample for sample in samples if sample not in found]:
                raise ValueError(f"{file} has no line of {absent[0]!r}, as {listed.name} has ({len(absent)} missing)")
            columns.append([found[sample] for sample in samples])
        without = [file for file, column in zip(files, columns, strict=True) if None in column]
        if without and len(without) < len(files):
            raise ValueError(f"{without[0]} has no labels, and others of the set have some")
        return samples, None if without else np.array(columns, dtype=np.int8).T

    def _found(self, file: Path) -> Path:
        if not file.is_file():
            raise ValueError(f"there is no file {file}, a list of VOC{self.year}; it is in {SOURCES[self.year]}")
        return file

    def _file(self, kind: str, name: str) -> Path:
        return self.root / "ImageSets" / kind / f"{name}.txt"


def _lines(file: Path, words: int, labelled: bool | None = None) -> dict[str, int | None]:
    """The samples of a list, each an image and, with 2 words, the number of an object; and the labels after them.

    Args:
        file: The list.
        words: Number of words of a sample.
        labelled: Whether labels are expected; None takes it from the first line.
    """
    found: dict[str, int | None] = {}
    for place, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if labelled is None:
            labelled = len(parts) > words
        label = parts[-1] if labelled else "0"
        plain = words == 1 or (len(parts) > 1 and parts[1].isdecimal())
        if len(parts) != words + labelled or label not in ("1", "+1", "-1", "0") or not plain:
            form = " ".join(["image", "object"][:words] + ["1, -1 or 0"] * labelled)
            raise ValueError(f"{file}, line {place}: expected {form!r}, got {line!r}")
        sample = " ".join(parts[:words])
        if sample in found:
            raise ValueError(f"{file}, line {place}: {sample!r} is listed twice")
        found[sample] = int(label) if labelled else None
    if not found:
        raise ValueError(f"{file} is empty")
    return found


def find_voc(data: Path, year: int) -> Voc:
    """VOC's folder of a year: `data` itself, VOC2007 in it, or VOCdevkit/VOC2007 in it.

    Raises:
        ValueError: None of them exists; the message says what was expected, and where to get it.
    """
    candidates = (data, data / f"VOC{year}", data / "VOCdevkit" / f"VOC{year}")
    for folder in candidates:
        if (folder / "ImageSets").is_dir():
            name = folder.resolve().name
            if folder == data and name.startswith("VOC20") and name != f"VOC{year}":
                raise ValueError(f"{data} is {name}; --protocol voc{year} needs VOC{year}")
            return Voc(folder, year)
    raise ValueError(
        f"{data} holds no VOC{year}: expected ImageSets and JPEGImages in one of "
        f"{', '.join(map(str, candidates))}; they come from {SOURCES[year]}"
    )
