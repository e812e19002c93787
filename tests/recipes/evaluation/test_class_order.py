"""Classes of a data set and outputs of a net, in whatever order either has them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timm.data import ImageNetInfo

from recipes.evaluation.class_order import outputs_of_classes, submission, targets

INFO = ImageNetInfo()


def net(count: int = 1000, names: list[str] | None = None) -> Any:
    """What of a net decides its classes."""
    return SimpleNamespace(num_classes=count, pretrained_cfg={"label_names": names})


def test_classes_are_found_by_their_names() -> None:
    """The net's own names, WordNet ids, ImageNet's words, numbers; subsets too."""
    assert outputs_of_classes(["b", "c", "a"], net(3, ["a", "b", "c"])) == [1, 2, 0]
    assert outputs_of_classes(["n01443537", "n01440764"], net()) == [1, 0]
    assert outputs_of_classes([INFO.index_to_description(7), INFO.index_to_description(3)], net()) == [7, 3]
    assert outputs_of_classes(["0", "1", "10", "2"], net(11)) == [0, 1, 10, 2]
    assert outputs_of_classes([], net(4)) == [0, 1, 2, 3]


def test_the_words_of_all_of_imagenet_are_in_order() -> None:
    """Two of the classes are a crane; the rest says that the order is the net's."""
    assert outputs_of_classes([INFO.index_to_description(place) for place in range(1000)], net()) == list(range(1000))


def test_as_many_classes_of_other_names_are_taken_in_order_with_a_warning() -> None:
    """A net that knows no names of its outputs gets none."""
    assert outputs_of_classes(["x", "y"], net(2)) == [0, 1]
    with pytest.warns(UserWarning, match="taken to be in the same order"):
        assert outputs_of_classes(["x", "y"], net(2, ["a", "b"])) == [0, 1]


@pytest.mark.parametrize("classes", [["x", "y"], ["b", "a", "x"], ["1", "2", "3"]])
def test_classes_of_no_output_are_an_error(classes: list[str]) -> None:
    """Another count, another order of some of the names, or numbers that begin at 1."""
    with pytest.raises(ValueError, match="--class-index FILE"):
        outputs_of_classes(classes, net(3, ["a", "b", "c"]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "1\n0\n"),
        ("a.txt", "n01443537 goldfish, Carassius auratus\nn01440764 tench\n\n"),
        ("a.txt", "goldfish, Carassius auratus\ntench, Tinca tinca\n"),
        ("a.json", json.dumps({"0": ["n01443537", "goldfish"], "1": ["n01440764", "tench"]})),
        ("a.json", json.dumps([1, 0])),
        ("a.json", json.dumps({"y": 0, "x": 1})),
    ],
)
def test_a_file_decides(tmp_path: Path, name: str, content: str) -> None:
    """Numbers, WordNet ids or names; a line for each class, or JSON."""
    (tmp_path / name).write_text(content)
    assert outputs_of_classes(["x", "y"], net(), tmp_path / name) == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [("0\n", "names 1 classes; the data set has 2"), ("0\n1000\n", "class 1 is '1000'"), ("0\nunicorn\n", "'unicorn'")],
)
def test_a_wrong_file_is_told(tmp_path: Path, content: str, message: str) -> None:
    """Count, number or name that is not the net's."""
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        outputs_of_classes(["x", "y"], net(), tmp_path / "a.txt")


def test_labels_become_outputs_and_the_label_of_no_class_stays() -> None:
    """-1 is never an output."""
    assert targets(torch.tensor([0, 1, -1]), [5, 3]).tolist() == [5, 3, -1]


def test_a_submission_has_five_numbers_for_every_image() -> None:
    """In falling order of the posteriors, from 1, in the numbering of the classes; all outputs must have a class."""
    posteriors = torch.tensor([[0.1, 0.2, 0.3, 0.05, 0.15, 0.2], [torch.nan] * 6])
    assert submission(posteriors, [5, 4, 3, 2, 1, 0]) == "4 1 5 2 6\n1 2 3 4 5\n"
    with pytest.raises(ValueError, match="one class for each of the net's 6 outputs"):
        submission(posteriors, [0, 1, 2])
