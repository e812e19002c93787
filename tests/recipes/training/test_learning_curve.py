"""The learning curve says what its lines are, and what of it is there."""

from typing import Any

import pytest

from recipes.recipe import load_recipe
from recipes.training.boxes import Localisation
from recipes.training.classes import Classification
from recipes.training.learning_curve import Error, LearningCurve
from tests.helpers import small
from tests.pictures import Drawn, drawn

TOP = (Error(column="top1", name="top-1"), Error(column="top5", name="top-5"))
PAPERS = (
    Error(column="top1", name="top-1", paper=(27.0, "dense")),
    Error(column="top5", name="top-5", paper=(8.8, "dense")),
)


def rows(errors: list[float], rates: list[float] | None = None) -> list[dict[str, Any]]:
    """Of metrics.csv; top-5 error is a third of top-1."""
    rates = rates or [0.01] * len(errors)
    return [
        {"epoch": epoch, "training_loss": 7 * error, "learning_rate": rate, "top1": error, "top5": error / 3}
        for epoch, (error, rate) in enumerate(zip(errors, rates, strict=True), 1)
    ]


def curve(given: list[dict[str, Any]], errors: Any = TOP) -> Drawn:
    """The picture."""
    about = {"title": "vgg_d_s256: vgg_d, 1,281,167 images of 1,000 classes", "loss": "cross-entropy"}
    return drawn(LearningCurve(**about, protocol="single crop", errors=errors, rows=given).draw)


FALLING = [0.9 * 0.93**epoch + 0.27 for epoch in range(74)]
RATES = [10.0 ** -(2 + (epoch > 30) + (epoch > 45) + (epoch > 60)) for epoch in range(74)]


@pytest.mark.parametrize("errors", [TOP, PAPERS, TOP[:1]])
@pytest.mark.parametrize(
    "given",
    [rows(FALLING, RATES), rows([0.5]), rows([0.5, 0.4]), rows([0.0] * 5), rows([0.3, 0.2, 0.25] * 4, RATES[26:38])],
)
def test_nothing_overlaps(given: list[dict[str, Any]], errors: tuple[Error, ...]) -> None:
    """Of one epoch, of many, of a net that makes no errors; with the paper's figures and without."""
    found = curve(given, errors)
    found.check()
    assert found.picture.width == 1200


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 74, 300])
def test_ticks_are_whole_epochs(epochs: int) -> None:
    """And plain numbers."""
    found = curve(rows([0.5] * epochs))
    for panel in found.figure.axes:
        shown = [tick for tick in panel.get_xticks() if panel.get_xlim()[0] <= tick <= panel.get_xlim()[1]]
        assert shown
        assert all(tick == round(tick) and 1 <= tick <= epochs for tick in shown)
    assert not any("$" in word or "^" in word for word in found.words)


def test_what_is_said_is_what_is_drawn() -> None:
    """Each line has its label in its colour; the best value is named where the last one is not the best."""
    found = curve(rows([0.5, 0.2, 0.3]), PAPERS)
    assert "top-1 30.0\nbest 20.0, epoch 2" in found.words
    assert "top-5 10.0\nbest 6.7, epoch 2" in found.words
    assert {"the paper's, dense 27.0", "the paper's, dense 8.8"} <= set(found.words)
    panel = found.figure.axes[1]
    labels = {text.get_color() for text in panel.texts}
    assert labels == {line.get_color() for line in panel.lines}
    assert len(panel.texts) == 4
    best = curve(rows([0.5, 0.3, 0.2]), TOP[:1])
    assert "top-1 20.0" in best.words
    assert not any("best" in word or "paper" in word for word in best.words)


def test_the_learning_rate_is_told_where_it_changes() -> None:
    """As far as there is room."""
    found = curve(rows(FALLING, RATES))
    assert {"learning rate 0.01", "0.001", "0.0001", "1e-05"} <= set(found.words)
    found = curve(rows(FALLING[:70], [0.01 * 0.8**epoch for epoch in range(70)]))
    found.check()


def test_the_papers_figures_are_those_of_the_same_net() -> None:
    """Table 3's of the dense test, Table 8's of boxes; none of a net that it does not have."""
    classes = Classification(load_recipe("vgg_d_s256"))
    assert classes.paper(small("vgg_d")) == ("dense", {"top1_error": 27.0, "top5_error": 8.8})
    assert classes.paper(small("vgg_b_shallow"))[1] == {}
    jittered = Classification(load_recipe("vgg_e_s256_512"))
    assert jittered.paper(small("vgg_e"))[1] == {"top1_error": 25.5, "top5_error": 8.0}
    boxes = Localisation(load_recipe("vgg_d_s384_pcr"))
    assert boxes.paper(small("vgg_d_box", regression="pcr")) == ("one crop", {"box_error": 33.1})
    assert boxes.paper(small("vgg_a_box", regression="pcr"))[1] == {}
