"""PASCAL VOC's folder as images of objects (Appendix A): a sample is an image and a class in it, with all its boxes.

    ROOT/JPEGImages/NAME.jpg, ROOT/Annotations/NAME.xml, ROOT/ImageSets/Main/{train,val,trainval,test}.txt

An image with objects of two classes is two samples. Objects that VOC calls difficult count as objects. The protocols
for linear SVMs (Appendix B) are in `recipes.features.voc`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import datasets
from tqdm import tqdm

from recipes.data.annotations import boxes_of, listed_images, read_objects
from recipes.data.boxes import MISSING, NO_OBJECT, Annotated, BadBoxError
from recipes.data.image_table import image_table
from recipes.data.images import UNLABELLED
from recipes.data.source import Reader, Wanted

LISTS = ("train", "val", "trainval", "test")
YEARS = ("VOC2012", "VOC2007")
_MANY = 10_000


class _Sample(NamedTuple):
    image: str
    name: str | None
    found: Annotated


def find(spec: str) -> Reader | None:
    """A reader for a VOC folder: `spec` itself, or VOC2012 or VOC2007 in it or in VOCdevkit in it.

    Raises:
        ValueError: Both years exist.
    """
    data = Path(spec)
    if _is_voc(data):
        return VocObjects(data).splits
    found = [folder / year for folder in (data, data / "VOCdevkit") for year in YEARS if _is_voc(folder / year)]
    if len(found) > 1:
        raise ValueError(f"{data} holds {' and '.join(map(str, found))}; give one of them")
    return VocObjects(found[0]).splits if found else None


def _is_voc(folder: Path) -> bool:
    return (folder / "JPEGImages").is_dir() and any((folder / name).is_dir() for name in ("Annotations", "ImageSets"))


@dataclass(frozen=True, slots=True)
class VocObjects:
    """The folder with JPEGImages, Annotations and ImageSets."""

    root: Path

    def splits(self, boxes: Wanted) -> datasets.DatasetDict:
        """The splits that have a list, as from `recipes.data.image_table.image_table`.

        Classes are the names of all objects, in order. An image without any object, or with an annotation that cannot
        be read, is a sample of the class `UNLABELLED` and says why.

        Args:
            boxes: Has no effect: the annotations also have the classes, so they are read for all splits.

        Raises:
            ValueError: There is no list, a line is not valid, or there is no object; the message says what was
                expected.
        """
        lists = {name: self._list(name) for name in LISTS if self._list(name).exists()}
        if not lists:
            raise ValueError(
                f"{self.root} has no list of images; expected one of {', '.join(LISTS)} (.txt) in "
                f"{self._list('train').parent}"
            )
        images = {name: listed_images(file) for name, file in lists.items()}
        every = sorted({image for names in images.values() for image in names})  # trainval repeats those of train
        bar = tqdm(every, desc="annotations", unit=" images", disable=len(every) <= _MANY)
        samples = {image: list(self._samples(image)) for image in bar}
        classes = sorted({one.name for found in samples.values() for one in found if one.name is not None})
        if not classes:
            raise ValueError(f"{self.root / 'Annotations'} has no object of any of the {len(every)} listed images")
        return datasets.DatasetDict(
            {
                split: self._table([one for image in names for one in samples[image]], classes)
                for split, names in images.items()
            }
        )

    def _table(self, samples: Sequence[_Sample], classes: Sequence[str]) -> datasets.Dataset:
        number = {name: place for place, name in enumerate(classes)}
        paths = [str(self.root / "JPEGImages" / f"{one.image}.jpg") for one in samples]
        labels = [UNLABELLED if one.name is None else number[one.name] for one in samples]
        return image_table(paths, labels, classes, [one.found for one in samples])

    def _samples(self, image: str) -> Iterator[_Sample]:
        """An image's classes in the order of their first objects; objects without a name belong to the first class."""
        file = self.root / "Annotations" / f"{image}.xml"
        try:
            objects = read_objects(file, first=1)
        except BadBoxError as error:
            reason = str(error) if file.exists() else f"{MISSING} ({file.name})"
            yield _Sample(image, None, Annotated([], [], reason))
            return
        names: list[str | None] = list(dict.fromkeys(one.name for one in objects if one.name))
        for place, name in enumerate(names or [None]):
            own = [one for one in objects if one.name == name or (place == 0 and not one.name)]
            yield _Sample(image, name, boxes_of(own, f"{NO_OBJECT} ({file.name})"))

    def _list(self, name: str) -> Path:
        return self.root / "ImageSets" / "Main" / f"{name}.txt"
