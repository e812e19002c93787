"""Images with the boxes of their class, for nets that predict boxes (Appendix A).

No image is dropped in silence: in training, those without a usable box are left out and named; in testing they stay,
with the problem in place of boxes, to count as errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recipes.box_checks import NO_BOX, NO_CLASS, BadBoxError, Box, cut_to_image, kinds
from recipes.box_columns import box_rows
from recipes.data import (
    UNLABELLED,
    DataSource,
    LabelledImages,
    Problem,
    as_source,
    image_source,
    rows_of_splits,
    rows_of_test,
)
from vgg_zoo.images import MOST_ELONGATED, Pixels, middle_corner

PLACE = "place"
"""Column of a split that some images were left out of: their index among all."""


class Boxed(NamedTuple):
    """An image and the boxes of its class.

    Attributes:
        pixels: (H, W, 3), RGB in 0–255; None if it cannot be decoded.
        label: Its class; -1 (`UNLABELLED`) where nobody tells.
        boxes: (n, 4), float64: left, top, right, bottom in pixels of the upright image, cut to it; right and bottom are
            the first beyond the box. n >= 1, or 0 with a problem.
        problem: It cannot be decoded, or why it has no usable box.
    """

    pixels: Pixels | None
    label: int
    boxes: np.ndarray[Any, np.dtype[np.float64]]
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class BoxedImages(LabelledImages):
    """A split whose rows also have "boxes" and "box_problem", as `recipes.image_table.BOX_FEATURES` has them."""

    def read_boxed(self, indices: Sequence[int]) -> list[Boxed]:
        """Images with the boxes that are usable; one with bad boxes besides good ones has no problem."""
        return [boxed for boxed, _ in self.read_checked(indices)]

    def read_checked(self, indices: Sequence[int]) -> list[tuple[Boxed, list[str]]]:
        """As `read_boxed`, and why each other box that the annotation has is not usable."""
        told = self.rows[list(indices)]
        found = []
        for place, (pixels, label, problem) in enumerate(self._decode(indices, told)):
            bad = list(told["bad_boxes"][place]) if "bad_boxes" in told else []
            boxes: list[Box] = []
            if pixels is not None:
                boxes, outside = _inside(told["image"][place], pixels, told["boxes"][place])
                bad += outside
                if not boxes:
                    problem = self._problem(indices[place], told["box_problem"][place] or next(iter(bad), NO_BOX))
                elif label == UNLABELLED:
                    boxes, problem = [], self._problem(indices[place], NO_CLASS)
            found.append((Boxed(pixels, label, np.array(boxes, np.float64).reshape(-1, 4), problem), bad))
        return found

    def read_boxed_or_next(self, indices: Sequence[int]) -> list[Boxed]:
        """As `read_boxed`; where there is no usable box, what is at the next index that has one, and the problem.

        Raises:
            ValueError: No image of the split is usable.
        """
        return [
            found if found.problem is None else self._next_boxed(index)._replace(problem=found.problem)
            for index, found in zip(indices, self.read_boxed(indices), strict=True)
        ]

    def _decode(self, indices: Sequence[int], rows: Any) -> list[tuple[Pixels | None, int, Problem | None]]:
        """As of any images; problems tell the index among all of the split, with those that were left out."""
        return LabelledImages._decode(
            self, rows.get(PLACE, indices), rows
        )  # slots make a class anew, which super() does not know

    def _problem(self, index: int, reason: str) -> Problem:
        place = int(self.rows[index][PLACE]) if PLACE in self.rows.features else index
        return Problem(self.name, place, self.names(range(index, index + 1))[0], reason)

    def _next_boxed(self, index: int) -> Boxed:
        for step in range(1, len(self)):
            found = self.read_boxed([(index + step) % len(self)])[0]
            if found.problem is None:
                return found
        raise ValueError(f"none of the {len(self)} {self.name} images can be decoded and has a usable box")


def _inside(stored: dict[str, Any], pixels: Pixels, boxes: Sequence[Sequence[float]]) -> tuple[list[Box], list[str]]:
    """Boxes cut to the image, and why the others cannot be."""
    left, top = 0, 0
    if max(pixels.shape[:2]) == MOST_ELONGATED * min(pixels.shape[:2]):  # perhaps the middle of a longer one
        left, top = middle_corner(image_source(stored))
    inside, outside = [], []
    for x0, y0, x1, y1 in boxes:
        try:
            inside.append(cut_to_image((x0 - left, y0 - top, x1 - left, y1 - top), *pixels.shape[:2]))
        except BadBoxError as error:
            outside.append(str(error))
    return inside, outside


def load_box_splits(source: str | DataSource) -> tuple[BoxedImages, BoxedImages, list[Problem]]:
    """The training and the validation split of a data set with boxes.

    Returns:
        The training images that have a class and, as far as the annotation alone tells, a usable box; every validation
        image, in order; and the training images that were left out, by their index among all of them. What is held out
        for validation, where a set has none, is what `recipes.data.load_splits` holds out.

    Raises:
        ValueError: As `recipes.data.load_splits`; no column of boxes; or no training image with a usable one.
    """
    training, validation = load_all_box_splits(source)
    problems = training.rows["box_problem"][:]
    labels = training.rows["label"][:]
    names = training.names(range(len(training)))
    left_out = [
        Problem(training.name, index, names[index], problem or f"{NO_CLASS} (label {label})")
        for index, (problem, label) in enumerate(zip(problems, labels, strict=True))
        if problem or label == UNLABELLED
    ]
    if len(left_out) == len(training):
        raise ValueError(_all_left_out(as_source(source), left_out))
    if left_out:
        gone = {problem.index for problem in left_out}
        kept = [index for index in range(len(training)) if index not in gone]
        rows = training.rows.select(kept).add_column(PLACE, kept)
        training = BoxedImages(training.name, rows, training.class_names)
    return training, validation, left_out


def load_all_box_splits(source: str | DataSource) -> tuple[BoxedImages, BoxedImages]:
    """Both splits with every image, also those without a usable box; raises as `load_box_splits` does."""
    source = as_source(source)
    training, validation = rows_of_splits(source, lambda rows: box_rows(source, rows))
    names = tuple(training.features["label"].names)
    return BoxedImages("training", training, names), BoxedImages("validation", validation, names)


def load_box_test_split(source: str | DataSource) -> BoxedImages:
    """The split that nets are tested on, with every image; chosen as `recipes.data.load_test_split` does.

    Raises:
        ValueError: As `recipes.data.load_test_split`, or no column of boxes.
    """
    source = as_source(source)
    rows = rows_of_test(source, lambda found: box_rows(source, found))
    return BoxedImages("validation", rows, tuple(rows.features["label"].names))


def _all_left_out(source: DataSource, left_out: Sequence[Problem]) -> str:
    counts = ", ".join(f"{kind}: {count}" for kind, count in kinds(problem.reason for problem in left_out).items())
    return (
        f"data set {source.spec!r}: none of the {len(left_out)} training images has a usable box ({counts}); the first "
        f"is {left_out[0]}. Boxes are {source.box_format} in pixels; --box-format says otherwise (xyxy, xywh)"
    )
