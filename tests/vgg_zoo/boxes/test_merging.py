"""The greedy merge against one that compares all pairs anew after every merge."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vgg_zoo.boxes.merging import merge


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def slowly(boxes: list[list[float]], scores: list[float], close: float) -> list[tuple[list[float], float]]:
    """The merge as the paper describes it: lists of members, and every pair compared in every round."""
    groups = [([box], score) for box, score in zip(boxes, scores, strict=True)]
    while True:
        means = [[sum(column) / len(members) for column in zip(*members, strict=True)] for members, _ in groups]
        pairs = [(overlap(means[i], means[j]), i, j) for i in range(len(means)) for j in range(i + 1, len(means))]
        best = max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2]), default=(0.0, 0, 0))
        if best[0] <= close or not pairs:
            return sorted(zip(means, (score for _, score in groups), strict=True), key=lambda found: -found[1])
        _, i, j = best
        groups[i] = (groups[i][0] + groups[j][0], groups[i][1] + groups[j][1])
        del groups[j]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
def test_merge_is_that_of_the_slow_reference(seed: int, count: int, close: float) -> None:
    """Boxes and ratings are those of the plain algorithm, for any number of boxes and any measure of closeness."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([corners, corners + 0.5 * torch.rand(count, 2, generator=generator, dtype=torch.float64)], 1)
    scores = torch.rand(count, generator=generator, dtype=torch.float64)
    found, expected = merge(boxes, scores, close), slowly(boxes.tolist(), scores.tolist(), close)
    assert len(found.boxes) == len(expected)
    for box, rating, (mean, total) in zip(found.boxes, found.ratings, expected, strict=True):
        torch.testing.assert_close(box, torch.tensor(mean, dtype=torch.float64))
        assert rating.item() == pytest.approx(total)


def test_equal_boxes_become_one_with_the_sum_of_their_scores() -> None:
    """Predictions that agree strengthen each other."""
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.5]]).repeat(4, 1)
    found = merge(boxes, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert found.boxes.tolist() == boxes[:1].double().tolist()
    assert found.ratings.tolist() == pytest.approx([1.0])


def test_far_boxes_stay_and_come_in_the_order_of_their_scores() -> None:
    """What does not overlap is not merged."""
    boxes = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9]])
    found = merge(boxes, torch.tensor([0.1, 0.7]))
    assert found.boxes.tolist() == boxes[[1, 0]].double().tolist()


def test_many_boxes_are_merged_in_bounded_time() -> None:
    """Two thousand boxes, more than any photo gives, are no cubic problem."""
    corners = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    found = merge(torch.cat([corners, corners + 0.3], 1), torch.ones(2000), 0.5)
    assert found.ratings.sum().item() == pytest.approx(2000)


@pytest.mark.parametrize("close", [-0.1, 1.1, float("nan")])
def test_closeness_outside_its_range_is_refused(close: float) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match=str(close)):
        merge(torch.zeros(0, 4), torch.zeros(0), close)


def test_scores_must_match_the_boxes() -> None:
    """One score for each box."""
    boxes: Tensor = torch.zeros(2, 4)
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        merge(boxes, torch.zeros(3))
