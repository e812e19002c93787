"""ILSVRC's own CLS-LOC folder, as from ILSVRC and Kaggle: images, their classes, and the boxes of their class.

    ROOT/Data/CLS-LOC/{train/WNID/NAME.JPEG,val/NAME.JPEG,test/NAME.JPEG}
    ROOT/Annotations/CLS-LOC/{train/WNID/NAME.xml,val/NAME.xml}
    ROOT/ImageSets/CLS-LOC/{train_cls.txt,train_loc.txt,val.txt,test.txt}
    LOC_synset_mapping.txt and LOC_val_solution.csv, in ROOT or beside it

A split exists if its folder of images does. Its list defines its images; without a list, it has all images of the
folder. Of the 1,281,167 training images, the 544,546 of train_loc.txt have boxes.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
from tqdm import tqdm

from recipes.data.annotations import boxes_of, listed_images, read_objects
from recipes.data.boxes import MISSING, NO_ANNOTATION, NO_CLASS, NO_OBJECT, Annotated, BadBoxError
from recipes.data.image_table import image_table
from recipes.data.images import UNLABELLED
from recipes.data.source import Reader, Wanted

LISTS = {"train": "train_cls", "val": "val", "test": "test"}
"""The splits, and the lists of their images."""

_MANY = 10_000
_SOLUTION = "LOC_val_solution.csv"
_NONE = Annotated([], [], NO_ANNOTATION)


def find(spec: str) -> Reader | None:
    """A reader for the folder with Data/CLS-LOC, which is `spec` or ILSVRC in it."""
    roots = (root for root in (Path(spec), Path(spec) / "ILSVRC") if (root / "Data" / "CLS-LOC").is_dir())
    root = next(roots, None)
    return None if root is None else ClsLoc(root).splits


@dataclass(frozen=True, slots=True)
class ClsLoc:
    """The folder with Data, Annotations and ImageSets."""

    root: Path

    def splits(self, boxes: Wanted) -> datasets.DatasetDict:
        """The existing splits, as from `recipes.data.image_table.image_table`.

        The label of a validation image is that of LOC_val_solution.csv, or else the class of all objects in its
        annotation, or else `UNLABELLED`, like that of every test image.

        Args:
            boxes: Splits for which boxes are wanted; half a million annotations of the others are not read.

        Raises:
            ValueError: There are no images, a list or table is not valid (the message names the file and the line), or
                there are training images and validation images without any known class.
        """
        images = {split: self._images(split) for split in LISTS if self._images_of(split).is_dir()}
        if not images:
            raise ValueError(f"{self.root}/Data/CLS-LOC has none of the folders {', '.join(LISTS)}")
        wnids = {split: self._told(split, names) for split, names in images.items()}
        read = {split: list(self._read(split, images[split], wnids[split], boxes(split))) for split in images}
        self._check_told({split: [wnid for wnid, _ in rows] for split, rows in read.items()})
        classes = self._classes({split: [wnid for wnid, _ in rows] for split, rows in read.items()})
        number = {name: place for place, name in enumerate(classes)}
        tables = {}
        for split, rows in read.items():
            folder = self._images_of(split)
            paths = [f"{folder}/{name}.JPEG" for name in images[split]]
            labels = [UNLABELLED if wnid is None else number.get(wnid, UNLABELLED) for wnid, _ in rows]
            found = [
                one
                if wnid is None or wnid in number
                else Annotated([], [], f"{NO_CLASS} ({wnid!r} is none of the {len(number)})")
                for wnid, one in rows
            ]
            tables[split] = image_table(paths, labels, classes, found if boxes(split) else None)
        return datasets.DatasetDict(tables)

    def _check_told(self, wnids: dict[str, list[str | None]]) -> None:
        """Check that the classes of the validation are known, unless there are no training images."""
        if "train" not in wnids or not wnids.get("val") or any(wnids["val"]):
            return
        found = self._beside(_SOLUTION)
        places = f"{self.root} nor in {self.root.parent}"
        told = f"{found} has none of them" if found else f"{_SOLUTION} is neither in {places}"
        raise ValueError(
            f"nothing tells the classes of the {len(wnids['val'])} images of {self._images_of('val')}: {told}, and no "
            f"annotation is in {self._annotations('val')}. Put one of them there; Kaggle's download has both"
        )

    def _images(self, split: str) -> list[str]:
        """Name of each image: "NAME", or "WNID/NAME" in training."""
        file, folder = self._list(LISTS[split]), self._images_of(split)
        if file.exists():
            names = listed_images(file, numbered=True)
            return [name if split != "train" or "/" in name else f"{_wnid(name)}/{name}" for name in names]
        found = sorted(folder.glob("*/*.JPEG" if split == "train" else "*.JPEG"))
        return [path.relative_to(folder).with_suffix("").as_posix() for path in found if not path.name.startswith(".")]

    def _told(self, split: str, names: Sequence[str]) -> list[str | None]:
        """The class of each image, if it is known without reading annotations."""
        if split == "train":
            return [_wnid(name) for name in names]
        file = self._beside(_SOLUTION) if split == "val" else None
        told = {} if file is None else solution(file)
        return [told.get(name) for name in names]

    def _read(
        self, split: str, names: Sequence[str], wnids: Sequence[str | None], boxes: bool
    ) -> Iterator[tuple[str | None, Annotated]]:
        """The class and the boxes of each image; without boxes, only the annotations needed for the class are read."""
        if not boxes and None not in wnids:
            yield from ((wnid, _NONE) for wnid in wnids)
            return
        folder = self._annotations(split)
        there = _annotations_in(folder)
        file = self._list("train_loc")
        expected = set(listed_images(file, numbered=True)) if split == "train" and file.exists() else set()
        bar = tqdm(names, desc=f"annotations of {split}", unit=" images", disable=len(names) <= _MANY)
        for name, wnid in zip(bar, wnids, strict=True):
            if wnid is not None and not boxes:
                yield wnid, _NONE
            elif name in there:
                yield _own_objects(folder / f"{name}.xml", wnid)
            elif name in expected:
                yield wnid, Annotated([], [], f"{MISSING} ({file.name} lists it)")
            else:
                yield wnid, _NONE

    def _classes(self, wnids: dict[str, list[str | None]]) -> list[str]:
        """WordNet ids in order: those of the mapping, or else of the training images, or else of the others."""
        mapping = self._beside("LOC_synset_mapping.txt")
        if mapping is not None:
            lines = mapping.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            return sorted({line.split()[0] for line in lines if line.strip()})
        telling = [wnids["train"]] if "train" in wnids else wnids.values()
        return sorted({wnid for split in telling for wnid in split if wnid is not None})

    def _images_of(self, split: str) -> Path:
        return self.root / "Data" / "CLS-LOC" / split

    def _annotations(self, split: str) -> Path:
        return self.root / "Annotations" / "CLS-LOC" / split

    def _list(self, name: str) -> Path:
        return self.root / "ImageSets" / "CLS-LOC" / f"{name}.txt"

    def _beside(self, name: str) -> Path | None:
        return next((folder / name for folder in (self.root, self.root.parent) if (folder / name).is_file()), None)


def _wnid(name: str) -> str:
    return name.split("/")[0] if "/" in name else name.split("_")[0]


def _annotations_in(folder: Path) -> set[str]:
    """ "NAME" or "WNID/NAME" of each annotation; a check for each image would take longer, because most have none."""
    found: set[str] = set()
    for parent, folders, files in os.walk(folder):
        inside = os.path.relpath(parent, folder)
        prefix = "" if inside == "." else f"{inside}/"
        found.update(f"{prefix}{name[:-4]}" for name in (*folders, *files) if name.endswith(".xml"))
    return found


def _own_objects(file: Path, wnid: str | None) -> tuple[str | None, Annotated]:
    """The class and its boxes; if the class is unknown, it is that of all objects."""
    try:
        objects = read_objects(file, first=0)
    except BadBoxError as error:
        return wnid, Annotated([], [], str(error))
    if wnid is None:
        names = sorted({one.name for one in objects if one.name})
        if len(names) != 1:
            return None, Annotated([], [], f"{NO_CLASS} ({file.name} has objects of {len(names)} classes)")
        wnid = names[0]
    own = [one for one in objects if one.name in (wnid, "")]
    return wnid, boxes_of(own, f"{NO_OBJECT} ({file.name})")


def solution(file: Path) -> dict[str, str]:
    """The class of each image, which is the first word of its objects: "n01978287 240 170 260 240 n01978287 ..."."""
    told = {}
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        table = csv.DictReader(lines)
        try:
            for row in table:
                words = (row.get("PredictionString") or "").split()
                if not row.get("ImageId") or not words or len(words) % 5:
                    raise csv.Error("not 'WNID x y x y' once or several times")
                told[row["ImageId"]] = words[0]
        except csv.Error as error:
            raise ValueError(
                f"{file}, line {table.line_num}: expected ImageId,PredictionString of 'WNID x y x y ...' ({error})"
            ) from error
    return told
