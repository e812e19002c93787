"""Greedy merging of the boxes that a net predicts at all positions of an image (Appendix A, after Sermanet et al.
2014).

"It first merges spatially close predictions (by averaging their coordinates), and then rates them based on the class
scores, obtained from the classification ConvNet."
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vgg_zoo.boxes.frame import intersection_over_union

CLOSE = 0.5
"""Overlap above which two boxes are close. The paper gives no value. Sermanet et al.'s own measure (a sum of a distance
and an area) has no scale that fits images of all sizes. We use the overlap at which a box counts as correct."""


class MergedBoxes(NamedTuple):
    """The merged boxes, sorted by descending rating.

    Attributes:
        boxes: (M, 4).
        ratings: (M,), for each box, the sum of the class scores of the boxes that were merged into it.
    """

    boxes: Tensor
    ratings: Tensor


def merge(boxes: Tensor, scores: Tensor, close: float = CLOSE) -> MergedBoxes:
    """Merge the two boxes that overlap most, and repeat this until no two overlap by more than `close`.

    A merged box is the mean of all predictions in it, and replaces them in the next comparison. Of pairs with the same
    overlap, the first is merged, so the result depends only on the order of the boxes.

    Args:
        boxes: (N, 4), left, top, right, bottom.
        scores: (N,), the score of the class in the window of each box, from 0 to 1.
        close: Intersection over union above which two boxes are merged, from 0 to 1.

    Returns:
        At most N boxes, float64.

    Raises:
        ValueError: `close` is outside 0 to 1, or the number of scores differs from that of boxes.
    """
    if not 0 <= close <= 1:
        raise ValueError(f"close is an intersection over union from 0 to 1; got {close}")
    if boxes.shape != (len(scores), 4):
        raise ValueError(f"boxes must be (N, 4) and scores (N,); got {tuple(boxes.shape)} and {tuple(scores.shape)}")
    boxes, scores = boxes.double().clone(), scores.double().clone()
    members = torch.ones(len(boxes), dtype=torch.float64)
    pairs = _Pairs(boxes)
    while (pair := pairs.closest(close)) is not None:
        kept, gone = pair
        weights = members[[kept, gone]]
        boxes[kept] = weights @ boxes[[kept, gone]] / weights.sum()
        members[kept], scores[kept] = weights.sum(), scores[kept] + scores[gone]
        pairs.replace(boxes, kept, gone)
    left = pairs.present.nonzero()[:, 0]
    order = left[scores[left].argsort(descending=True, stable=True)]
    return MergedBoxes(boxes[order], scores[order])


class _Pairs:
    """The overlaps of all pairs, with the best partner of each box: a merge updates only a few rows."""

    def __init__(self, boxes: Tensor) -> None:
        self.present = torch.ones(len(boxes), dtype=torch.bool)
        self.overlaps = intersection_over_union(boxes, boxes).fill_diagonal_(-1)
        self.best = torch.full((len(boxes),), -1.0, dtype=boxes.dtype)
        self.partner = torch.zeros(len(boxes), dtype=torch.long)
        self._find_partners(self.present)

    def closest(self, close: float) -> tuple[int, int] | None:
        """The first pair with the greatest overlap, or None if no overlap is above `close`."""
        if len(self.best) == 0:
            return None
        one = int(self.best.argmax())
        return (one, int(self.partner[one])) if self.best[one] > close else None

    def replace(self, boxes: Tensor, kept: int, gone: int) -> None:
        """Store the new box at `kept` and remove the one at `gone`."""
        self.present[gone] = False
        overlaps = intersection_over_union(boxes[kept : kept + 1], boxes)[0].masked_fill(~self.present, -1)
        overlaps[kept] = -1
        self.overlaps[kept] = self.overlaps[:, kept] = overlaps
        self.overlaps[gone] = self.overlaps[:, gone] = -1
        better = (overlaps > self.best) | ((overlaps == self.best) & (kept < self.partner))
        stale = (self.partner == kept) | (self.partner == gone)
        stale[[kept, gone]] = True
        self.best = torch.where(better, overlaps, self.best)
        self.partner = torch.where(better, kept, self.partner)
        self._find_partners(stale)

    def _find_partners(self, rows: Tensor) -> None:
        if rows.any():
            self.best[rows], self.partner[rows] = self.overlaps[rows].max(1)
