"""Images with the boxes of their class, for nets that predict boxes (Appendix A).

No image is dropped silently: in training, images without a usable box are left out and reported; in testing they stay,
with a problem instead of boxes, and count as errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recipes.data.boxes import NO_BOX, NO_CLASS, BadBoxError, Box, clip_to_image
from recipes.data.images import PLACE, UNLABELLED, LabelledImages, Problem, image_source
from vgg_zoo.images.decoding import MOST_ELONGATED, Pixels, middle_corner


class Boxed(NamedTuple):
    """An image and the boxes of its class.

    Attributes:
        pixels: (H, W, 3), RGB in 0–255; None if it cannot be decoded.
        label: Its class; -1 (`UNLABELLED`) if it is unknown.
        boxes: (n, 4), float64: left, top, right, bottom in pixels of the upright image, clipped to it; right and bottom
            are the first beyond the box. n >= 1, or 0 with a problem.
        problem: Why it cannot be decoded, or why it has no usable box.
    """

    pixels: Pixels | None
    label: int
    boxes: np.ndarray[Any, np.dtype[np.float64]]
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class BoxedImages(LabelledImages):
    """A split whose rows also have "boxes" and "box_problem", as in `recipes.data.image_table.BOX_FEATURES`."""

    def read_boxed(self, indices: Sequence[int]) -> list[Boxed]:
        """Images with their usable boxes; an image with both bad and good boxes has no problem."""
        return [boxed for boxed, _ in self.read_checked(indices)]

    def read_checked(self, indices: Sequence[int]) -> list[tuple[Boxed, list[str]]]:
        """Like `read_boxed`, and the reason why each other box of the annotation is not usable."""
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
        """Like `read_boxed`; if there is no usable box, the next image that has one, and the problem.

        Raises:
            ValueError: No image of the split is usable.
        """
        return [
            found if found.problem is None else self._next_boxed(index)._replace(problem=found.problem)
            for index, found in zip(indices, self.read_boxed(indices), strict=True)
        ]

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
    """Boxes clipped to the image, and the reasons for those that cannot be clipped."""
    left, top = 0, 0
    if max(pixels.shape[:2]) == MOST_ELONGATED * min(pixels.shape[:2]):  # perhaps the middle of a longer one
        left, top = middle_corner(image_source(stored))
    inside, outside = [], []
    for x0, y0, x1, y1 in boxes:
        try:
            inside.append(clip_to_image((x0 - left, y0 - top, x1 - left, y1 - top), *pixels.shape[:2]))
        except BadBoxError as error:
            outside.append(str(error))
    return inside, outside
