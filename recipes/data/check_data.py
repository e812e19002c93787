"""A pass over a data set that decodes every image: the work of recipes/check_data.py."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from recipes.data.box_splits import load_all_box_splits
from recipes.data.boxed_images import BoxedImages
from recipes.data.boxes import NO_ANNOTATION, NO_CLASS, kinds
from recipes.data.images import UNLABELLED, LabelledImages, Problem
from recipes.data.notes import say
from recipes.data.options import data_source
from recipes.data.splits import load_splits
from recipes.runtime.files import write_json, write_rows
from recipes.runtime.loader import ImageLoader
from recipes.runtime.look import ending, progress, title
from recipes.runtime.output_folder import WHAT
from vgg_zoo.images.decoding import Pixels

_CHUNK = 64


class _Seen(NamedTuple):
    """For an image: its smallest side in pixels, 0 if it cannot be decoded; its class; its problem; its boxes."""

    side: int
    label: int
    problem: Problem | None
    boxes: int = 0
    bad_boxes: Sequence[str] = ()


@dataclass
class _Decoded(Dataset[Any]):
    """Checks chunks of images."""

    split: LabelledImages

    def __len__(self) -> int:
        return -(-len(self.split) // _CHUNK)

    def __getitem__(self, chunk: int) -> list[_Seen]:
        indices = range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(self.split)))
        if isinstance(self.split, BoxedImages):
            return [
                _Seen(_side(found.pixels), found.label, found.problem, len(found.boxes), bad)
                for found, bad in self.split.read_checked(indices)
            ]
        return [_Seen(_side(pixels), label, problem) for pixels, label, problem in self.split.read(indices)]


def _side(pixels: Pixels | None) -> int:
    return 0 if pixels is None else min(pixels.shape[:2])


def check(split: LabelledImages, workers: int) -> tuple[dict[str, Any], list[Problem]]:
    """The content of a split, and its problems: images that cannot be decoded, and bad boxes."""
    found: list[_Seen] = []
    loader = ImageLoader(_Decoded(split), batch_size=None, num_workers=workers)
    with progress(len(split), desc=split.name) as bar:
        for chunk in loader:
            found += chunk
            bar.update(len(chunk))
    labels = Counter(one.label for one in found)
    counts = [labels[label] for label in range(len(split.class_names))]
    sides = [one.side for one in found if one.side]
    report = {
        "images": len(split),
        "cannot_be_decoded": len(found) - len(sides),
        "classes": len(counts),
        "images_of_a_class": [min(counts), max(counts)],
        "smaller_than_224_pixels": sum(side < 224 for side in sides),
        "smallest_side": [min(sides, default=0), max(sides, default=0)],
    }
    if isinstance(split, BoxedImages):
        report |= _box_counts(found)
    return report, _problems(split, found)


def _box_counts(found: Sequence[_Seen]) -> dict[str, Any]:
    """Counts for the images that can be decoded; "bad_boxes" counts all unusable boxes of all images."""
    without = [one.problem.reason for one in found if one.side and one.problem is not None]
    return {
        "boxes": sum(one.boxes for one in found),
        "without_a_class": sum(one.label == UNLABELLED for one in found),
        "without_a_usable_box": len(without),
        "without_a_usable_box_because": kinds(without),
        "bad_boxes": sum(len(one.bad_boxes) for one in found),
        "bad_boxes_because": kinds(reason for one in found for reason in one.bad_boxes),
    }


def _problems(split: LabelledImages, found: Sequence[_Seen]) -> list[Problem]:
    """Each bad box, and each image that cannot be decoded or has no box for another reason."""
    usual = {NO_ANNOTATION} if split.name == "training" else set()  # as most of ILSVRC's training images
    problems = []
    for index, (one, name) in enumerate(zip(found, split.names(range(len(split))), strict=True)):
        reasons = list(one.bad_boxes)
        if one.problem is not None and one.problem.reason not in {*reasons, *usual}:
            reasons.insert(0, one.problem.reason)
        if isinstance(split, BoxedImages) and one.label == UNLABELLED and one.problem is None:
            reasons.append(f"{NO_CLASS} (label {UNLABELLED})")
        problems += [Problem(split.name, index, name, reason) for reason in reasons]
    return problems


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return f"({', '.join(f'{kind}: {count}' for kind, count in value.items())})"


def run(args: argparse.Namespace) -> int:
    """Check both splits, print; 1 if anything is wrong."""
    report: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    splits = (load_all_box_splits if args.boxes else load_splits)(data_source(args), tell=False)
    images = " and ".join(f"{len(split):,} {split.name}" for split in splits)
    print(title("check_data", args.data, f"{images} images"), flush=True)
    for split in splits:
        report[split.name], found = check(split, args.workers)
        problems += found
    for name, counts in report.items():
        print(
            f"{name}: "
            + ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in counts.items() if value != {})
        )
    say(splits[0].notes)
    for problem in problems[:20]:
        print(problem)
    if len(problems) > 20:
        print(f"... and {len(problems) - 20} more")
    if args.output is not None:
        write(args.output, report | {"notes": splits[0].notes}, problems)
    return 1 if problems else 0


def write(folder: Path, report: Mapping[str, Any], problems: Sequence[Problem]) -> None:
    """Write what was found, and say where; a list of bad images that an earlier check left does not stay."""
    data, bad = folder / "data.json", folder / "bad_images.csv"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(data, report)
    bad.unlink(missing_ok=True)
    if problems:
        write_rows(bad, problems)
    print(ending({}, {data: "every count and note", bad: WHAT[bad.name]}))
