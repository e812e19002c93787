"""A folder of images: its splits, its classes, and everything else.

- A first-level folder is a split if it has the name of one, in any case: `SPLIT_NAMES`. Nothing deeper is, and no file.
- A class is a folder of a split, or a first-level folder if there is no split. Folders in it belong to it. - A split
without class folders takes its classes from a list (`recipes.data.label_lists`) or a table (`recipes.data.metadata`),
or is unlabelled. - Files that are no image, or in no class, are ignored and reported. If there are two interpretations,
the folder is refused.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import datasets

from recipes.data.image_table import image_table
from recipes.data.images import UNLABELLED
from recipes.data.label_lists import told
from recipes.data.listing import Tree, other_files, read_tree
from recipes.data.metadata import NAMES as TABLES
from recipes.data.metadata import described, tables_in
from recipes.data.notes import Noted, many, some
from recipes.data.source import Reader

SPLIT_NAMES = {
    "train": ("train", "training", "trn", "ilsvrc2012_img_train"),
    "validation": ("val", "valid", "validation", "dev", "eval", "ilsvrc2012_img_val"),
    "test": ("test", "testing", "tst", "ilsvrc2012_img_test"),
}
"""Names of the splits' folders, in any case; "_set" may follow, as in "test_set"."""

_IMAGES = "images"  # a folder with this name is not a class, as in tiny-imagenet's val/images


def find(spec: str) -> Reader | None:
    """A reader for a folder with images, unless `datasets` has saved it or reads it by its own description."""
    root = Path(spec)
    if not root.is_dir() or is_described(root):
        return None
    tree = read_tree(root)
    return (lambda boxes: ImageFolder(spec, root, tree).splits()) if tree.count else None


def split_of(name: str) -> str | None:
    """The split of a folder with this name, or None."""
    plain = name.casefold()
    for end in ("_set", "-set", " set"):
        plain = plain.removesuffix(end)
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), None)


def _likely_split(name: str) -> str | None:
    """The split in a part of a name, as in "seg_train" or "val2017"."""
    return next((split for part in re.split(r"[^a-zA-Z]+", name) if part and (split := split_of(part))), None)


def is_described(root: Path) -> bool:
    """Whether a folder describes itself for `datasets`: it was saved, or its README.md has `configs`."""
    if any((root / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        return True
    readme = root / "README.md"
    lines = readme.read_text(encoding="utf-8", errors="replace").splitlines() if readme.is_file() else []
    return lines[:1] == ["---"] and any(line.startswith("configs:") for line in lines)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder and its content."""

    spec: str
    root: Path
    tree: Tree

    def splits(self) -> Noted:
        """The splits by "train", "validation", "test", or a folder's own name; only "train" if there is none.

        Raises:
            ValueError: The folders are ambiguous or cannot be read; the message says what to do.
        """
        notes = other_files([path for path in self.tree.all_others() if path.rpartition("/")[2] not in TABLES])
        folders = self._folders_of_splits()
        if folders is None:
            called = [name for name in self.tree.folders if split_of(name)]
            if called and not tables_in(self.tree):
                notes.append(f"{called[0]}/ is taken for a class, as the folders beside it: no class folders are in it")
            rows = self._split("", "train", self.tree, (), notes)
            return Noted({"train": rows}, notes)
        named = {name: split_of(name) or name for name in folders}
        if self.tree.images:
            notes.append(f"ignored: {_counted('', self.tree.images)} beside the folders of the splits")
        shown = [f"{name}/ as {split}" for name, split in named.items() if name != split and split_of(name)]
        if shown:
            notes.append(f"splits: {', '.join(shown)}")
        splits: dict[str, datasets.Dataset] = {}
        classes: tuple[str, ...] = ()
        for name in sorted(folders, key=lambda one: named[one] != "train"):
            if split_of(name) is None:
                extra = f"{name}/ ({many(folders[name].count, 'image')})"
                notes.append(f"ignored: {extra} is no split by its name; --validation-split {name} would take it")
                with suppress(ValueError):  # this split was not requested
                    splits[name] = self._split(name, name, folders[name], classes, [])
                continue
            splits[named[name]] = self._split(name, named[name], folders[name], classes, notes)
            if named[name] == "train":
                classes = _names(splits["train"])
        usual = {name: split for split, names in SPLIT_NAMES.items() if split in splits for name in names}
        return Noted(splits, notes, usual | named)

    def _folders_of_splits(self) -> dict[str, Tree] | None:
        """The first-level folders, if they are splits; None if they are classes."""
        folders = {name: one for name, one in self.tree.folders.items() if one.count or split_of(name)}
        splits = [name for name in folders if split_of(name)]
        others = [name for name in folders if name not in splits]
        table = next((name for name in self.tree.others if name in TABLES), None)
        if not splits or table:
            self._check_classes(table, splits)
            return None
        for split in SPLIT_NAMES:
            same = [name for name in splits if split_of(name) == split]
            if len(same) > 1:
                raise ValueError(
                    f"data set {self.spec!r}: the folders {some(same)} are all the {split} split by their names; "
                    "rename or move all but one"
                )
        deep = [name for name in splits if _class_folders(folders[name])]
        if not deep and others and len(splits) == 1 and splits[0].casefold() == "train" and not self._lists(splits):
            return None  # a class "train" beside cars and planes
        if not deep and not self._lists(splits) and len(folders) > 1:
            raise ValueError(self._unclear([*splits, *others], "hold images and no class folders"))
        if len(splits) == 1 and others and deep and not _share_classes(folders, splits, others):
            raise ValueError(self._unclear([*splits, *others], "may be splits or classes"))
        return folders

    def _lists(self, splits: Iterable[str]) -> bool:
        """Whether a table has the classes of a split."""
        return any(tables_in(self.tree.folders[name]) for name in splits)

    def _unclear(self, names: list[str], why: str) -> str:
        return (
            f"data set {self.spec!r}: the folders {some(names, 6)} {why}. A split is a first-level folder (train, val, "
            "test) with a folder for each class in it. If these are splits, put the images into such folders, and "
            "others away; if they are classes, put all of them into a folder 'train'"
        )

    def _check_classes(self, table: str | None, splits: list[str]) -> None:
        """Refuse first-level folders that are clearly not classes: they contain splits, or one contains everything."""
        if table:
            if splits:
                raise ValueError(
                    f"data set {self.spec!r}: {table} lies beside the folders of the splits, {some(splits)}; give each "
                    "of them a table of its own, in it"
                )
            return
        folders = {name: one for name, one in self.tree.folders.items() if one.count}
        for name, folder in folders.items():
            inside = [one for one in _class_folders(folder) if split_of(one)]
            if len({split_of(one) for one in inside}) > 1:
                order = f"move {name}/{inside[0]} to {inside[0]}/{name}"
                way_out = f"give --data {self.root / name}" if len(folders) == 1 else order
                raise ValueError(
                    f"data set {self.spec!r}: the folder {name!r} holds the splits {some(inside)}, but splits are "
                    f"first-level folders; {way_out}"
                )
        alike = {name: _likely_split(name) for name, one in folders.items() if not one.images and _class_folders(one)}
        if len(set(alike.values()) - {None}) > 1:
            shown = some(name for name, split in alike.items() if split)
            raise ValueError(
                f"data set {self.spec!r}: the folders {shown} are splits or classes; if they are splits, call them "
                "train, val, test"
            )
        name, only = next(iter(folders.items()), ("", Tree()))
        if len(folders) == 1 and not self.tree.images and not only.images and len(_class_folders(only)) > 1:
            raise ValueError(
                f"data set {self.spec!r} has one folder, {name!r}, so one class. If the folders in it are the "
                f"classes ({some(_class_folders(only))}), give --data {self.root / name}"
            )

    def _split(self, name: str, split: str, tree: Tree, classes: tuple[str, ...], notes: list[str]) -> datasets.Dataset:
        """The rows of a split, and notes on them.

        Args:
            name: Name of its folder; "" for the folder of the data set.
            split: Name of the split.
            tree: Content of the folder.
            classes: Classes of the training images; none for the training split itself.
            notes: New notes are appended here.
        """
        folder = self.root / name
        if tables_in(tree):
            found = described(self.spec, folder, tree)
            notes += found.notes
            return found.rows
        named = {one: tree.folders[one] for one in _class_folders(tree, empty=True)}
        if set(named) == {_IMAGES} and _IMAGES not in classes:
            return self._classless(name, split, tree.every(), classes, notes)
        if not any(one.count for one in named.values()):
            return self._classless(name, split, tree.images and tree.every(), classes or tuple(sorted(named)), notes)
        if tree.images:
            notes.append(f"ignored: {_counted(name, tree.images)} in no class folder")
        if len([one for one in named.values() if one.count]) == 1:
            only = next(one for one in named if named[one].count)
            notes.append(f"{name or self.spec}: all images are of one class, {only!r}")
        deeper = sorted({inner for one in named.values() for inner, inside in one.folders.items() if inside.count})
        if deeper:
            notes.append(f"{name or self.spec}: folders in a class belong to it: {some(deeper)}")
        images = [(place, path) for place, one in enumerate(sorted(named)) for path in named[one].every(f"{one}/")]
        return self._table(folder, [path for _, path in images], [place for place, _ in images], sorted(named))

    def _classless(
        self, name: str, split: str, images: list[str], classes: tuple[str, ...], notes: list[str]
    ) -> datasets.Dataset:
        """A split without class folders, labelled by a list or unlabelled."""
        list_of = told(self.root, name, split, images, classes) if images and name else None
        if list_of is None:
            if images and name:
                notes.append(f"{name}/: {many(len(images), 'image')} without class folders are unlabelled")
            return self._table(self.root / name, images, [UNLABELLED] * len(images), classes)
        names = list(dict.fromkeys([*classes, *sorted({one for one in list_of.classes if one is not None})]))
        number = {one: place for place, one in enumerate(names)}
        labels = [UNLABELLED if one is None else number[one] for one in list_of.classes]
        notes.append(f"{name}/: {list_of.file.name} tells the classes of its {many(len(images), 'image')}")
        lacking = [image for image, one in zip(images, list_of.classes, strict=True) if one is None]
        if lacking:
            notes.append(f"{name}/: {many(len(lacking), 'image')} not in {list_of.file.name}: {some(lacking, 10)}")
        return self._table(self.root / name, images, labels, names)

    def _table(self, folder: Path, images: list[str], labels: list[int], classes: Iterable[str]) -> datasets.Dataset:
        paths = [f"{folder}/{path}" for path in images]
        try:
            "".join(paths).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"data set {self.spec!r}: a file's name is not UTF-8 ({error}); rename it") from error
        rows = image_table(paths, labels, list(classes), None)
        return rows if list(classes) else rows.remove_columns("label")


def _class_folders(tree: Tree, empty: bool = False) -> list[str]:
    """The sub-folders with images at any depth, and optionally the empty ones."""
    return [name for name, one in tree.folders.items() if one.count or (empty and one.is_empty)]


def _share_classes(folders: Mapping[str, Tree], splits: Iterable[str], others: Iterable[str]) -> bool:
    """Whether other folders look like splits: without class folders, or with some of a split's classes."""
    classes = {one for name in splits for one in _class_folders(folders[name])}
    return all(not inside or classes & set(inside) for inside in (_class_folders(folders[name]) for name in others))


def _names(rows: datasets.Dataset) -> tuple[str, ...]:
    label = rows.features.get("label")
    return tuple(label.names) if isinstance(label, datasets.ClassLabel) else ()


def _counted(folder: str, names: list[str]) -> str:
    return f"{many(len(names), 'image')} ({some(f'{folder}/{name}'.lstrip('/') for name in sorted(names))})"
