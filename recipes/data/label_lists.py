"""Lists with the classes of a folder of images without class folders, such as ImageNet's and tiny-imagenet's `val`.

    val_annotations.txt          NAME WNID ...   of each image, in the folder (tiny-imagenet)
    val.txt, val_labels.txt ...  NAME CLASS      of each image; a class's name, or its number from 0 in sorted order
    LOC_val_solution.csv         ImageId,PredictionString, "WNID x y x y ..." (Kaggle)
    ILSVRC2012_validation_ground_truth.txt       a number of each image, in the devkit beside meta.mat, which names them

The devkit numbers the classes in its own order; meta.mat maps these numbers to WordNet ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from recipes.data.ilsvrc import solution
from recipes.data.notes import some

GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
_ENDS = ("", "_annotations", "_labels", "_list")


@dataclass(frozen=True, slots=True)
class Told:
    """The class of each image, None if the list does not have it; and the file of the list."""

    classes: list[str | None]
    file: Path


def told(root: Path, folder: str, split: str, images: Sequence[str], classes: Sequence[str]) -> Told | None:
    """The classes from a list, if there is one.

    Args:
        root: Root of the data set.
        folder: Name of the split's folder in it.
        split: "train", "validation" or "test".
        images: Paths in the folder, in order.
        classes: Classes of the training images, in order.

    Raises:
        ValueError: The list has another form, or there are two lists; the message names the file and the line.
    """
    starts = dict.fromkeys((folder, "val" if split == "validation" else split))
    names = [*(f"{name}{end}.txt" for name in starts for end in _ENDS), "labels.txt"]
    if split == "validation":
        names.append("LOC_val_solution.csv")
    found = [place / name for place in (root / folder, root) for name in names if (place / name).is_file()]
    found = [file for file in found if file.suffix == ".csv" or _has_classes(file)]
    if split == "validation":
        found += _ground_truths(root, folder)
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{root / folder}: {' and '.join(map(str, found))} may tell the classes; leave one of them")
    (file,) = found
    if file.name == GROUND_TRUTH:
        return Told(_numbered(file, images), file)
    table = solution(file) if file.suffix == ".csv" else _listed(file, classes)
    return Told([_of(table, image) for image in images], file)


def _has_classes(file: Path) -> bool:
    """Whether any line has more than the name of an image."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return any(len(line.replace(",", " ").split()) > 1 for line in lines)


def _ground_truths(root: Path, folder: str) -> list[Path]:
    kits = [place for place in root.iterdir() if "devkit" in place.name.casefold() and place.is_dir()]
    places = [root, root / folder, *(place / inner for place in kits for inner in ("", "data"))]
    return [place / GROUND_TRUTH for place in places if (place / GROUND_TRUTH).is_file()]


def _of(table: dict[str, str], image: str) -> str | None:
    """The classes by the image's name, with or without its folder and its extension."""
    path = PurePosixPath(image)
    names = (image, path.name, str(path.with_suffix("")), path.stem)
    return next((table[name] for name in names if name in table), None)


def _listed(file: Path, classes: Sequence[str]) -> dict[str, str]:
    """Lines "NAME CLASS", separated by a space, a tab or a comma; anything may follow."""
    table: dict[str, str] = {}
    for place, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        separator = "\t" if "\t" in line else "," if "," in line else None
        words = [word.strip() for word in line.split(separator)]
        if not any(words):
            continue
        if len(words) < 2 or words[0] in table:
            form = "'NAME CLASS'" if len(words) < 2 else "each image once"
            raise ValueError(f"{file}, line {place}: expected {form}, got {line!r}")
        table[words[0]] = words[1]
    named = set(table.values())
    if not classes or named <= set(classes) or not all(value.isdecimal() for value in named):
        return table
    if any(int(value) >= len(classes) for value in named):
        raise ValueError(
            f"{file}: numbers of classes go from 0 to {len(classes) - 1}, in the sorted order of the training folders "
            f"({some(classes)}); it has {max(map(int, named))}. Let it name the classes"
        )
    return {name: classes[int(value)] for name, value in table.items()}


def _numbered(file: Path, images: Sequence[str]) -> list[str | None]:
    """The devkit's numbers, one for each image in the order of their names."""
    words = file.read_text(encoding="utf-8-sig").split()
    if len(words) != len(images) or not all(word.isdecimal() for word in words):
        raise ValueError(f"{file}: expected a number for each of the {len(images)} images, got {len(words)} words")
    wnids = _wnids(file.parent / META)
    unknown = sorted({word for word in words if int(word) not in wnids})
    if unknown:
        raise ValueError(f"{file}: {some(unknown)} are no ILSVRC2012_ID of {META}")
    return [wnids[int(word)] for word in words]


def _wnids(file: Path) -> dict[int, str]:
    """From the devkit's numbers to WordNet ids."""
    from scipy.io import loadmat  # scikit-learn, which is optional, needs SciPy

    if not file.is_file():
        raise ValueError(f"{file} is missing; without it, nobody knows which class a number of {GROUND_TRUTH} is")
    try:
        synsets = np.atleast_1d(loadmat(file, squeeze_me=True)["synsets"])
        return {int(one["ILSVRC2012_ID"]): str(one["WNID"]) for one in synsets}
    except Exception as error:  # SciPy documents no complete list of errors for damaged files
        raise ValueError(f"{file} has no 'synsets' with ILSVRC2012_ID and WNID ({error})") from error
