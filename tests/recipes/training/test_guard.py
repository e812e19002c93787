"""Why a net does not learn, told by name."""

import math

import pytest
import torch
from torch import Tensor

from recipes.training.guard import STUCK_STEPS, DivergedError, Guard, diagnosis
from tests.helpers import small

IMAGES = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float() - 120


def test_a_loss_that_stays_at_chance_is_told_once() -> None:
    """After `STUCK_STEPS` steps, and again only after it had moved."""
    chance = math.log(1000)
    guard = Guard(chance)
    told = [step for step in range(1, 3 * STUCK_STEPS) if guard.sits_at_chance(step, chance + 0.01 * (-1) ** step)]
    assert told == [1 + STUCK_STEPS]
    assert not guard.sits_at_chance(3 * STUCK_STEPS, 5.0)
    again = range(3 * STUCK_STEPS + 1, 5 * STUCK_STEPS)
    assert sum(guard.sits_at_chance(step, chance) for step in again) == 1


def test_a_loss_that_falls_is_not_told() -> None:
    """Nor one that begins above."""
    guard = Guard(math.log(1000))
    assert not any(guard.sits_at_chance(step, 10 - step / STUCK_STEPS) for step in range(1, 4 * STUCK_STEPS))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    """With the step."""
    with pytest.raises(DivergedError, match=f"the loss is {loss} at step 7"):
        Guard(math.log(10)).sits_at_chance(7, loss)


@pytest.mark.parametrize(
    ("images", "arguments", "cause"),
    [
        (IMAGES / 255, {}, "the input scale: the images' deviation is 0.28"),
        (IMAGES * 255, {}, "the input scale: the images' deviation is 1.8"),
        (IMAGES, {"initialisation": "normal", "std": 0.001}, "the initialisation: the outputs' deviation is"),
        (IMAGES, {"initialisation": "normal", "std": 1.0}, "the initialisation or the learning rate: the outputs'"),
        (IMAGES, {}, "the learning rate: 0.01 is too high to begin with, or too low"),
    ],
    ids=["scale", "scale squared", "vanishing", "exploding", "rate"],
)
def test_the_cause_is_named(images: Tensor, arguments: dict[str, object], cause: str) -> None:
    """Input scale, initialisation, or rate; the net is left in the mode it was in."""
    net = small(**arguments).train()
    assert diagnosis(net, images, 0.01).startswith(cause)
    assert net.training
