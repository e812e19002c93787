"""Tells early, and by name, why a net does not learn: the most frequent failure of training VGG."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STUCK_STEPS = 500
"""A loss that stays at ln(classes) for so many steps is reported: A leaves it within some tens of steps."""

_CLOSE = 0.01  # of ln(classes)


class DivergedError(ValueError):
    """The loss is no longer a number."""


@torch.no_grad()
def diagnosis(net: nn.Module, images: Tensor, learning_rate: float) -> str:
    """Which of initialisation, input scale and learning rate is the likeliest cause, from what the net does now.

    Args:
        net: In its present state.
        images: (b, 3, crop, crop), the input as the net gets it.
        learning_rate: Of SGD.
    """
    scale = images.std().item()
    if not 5 < scale < 500:
        return (
            f"the input scale: the images' deviation is {scale:.3g}, and these nets begin with RGB in 0–255 minus the "
            "mean (30 to 80). Do not divide by 255 or by a standard deviation"
        )
    training = net.training
    spread = net.eval()(images).std().item()
    net.train(training)
    if spread < 1e-2:
        return (
            f"the initialisation: the outputs' deviation is {spread:.2g}, the signals die on their way. Begin with "
            'initialisation="glorot", or pre-initialise from net A (init_from)'
        )
    if spread > 1e3 or not math.isfinite(spread):
        return (
            f"the initialisation or the learning rate: the outputs' deviation is {spread:.2g}. N(0, σ²) needs "
            f"σ = 0.01, and the rate, {learning_rate:g} now, may have to be ten times smaller"
        )
    return f"the learning rate: {learning_rate:g} is too high to begin with, or too low to leave the start; try ÷10, ×3"


@dataclass(slots=True)
class Guard:
    """Watches the loss.

    Attributes:
        chance: The loss of a net that has learned nothing; None where there is no such number.
        since: First step of the present row of losses at ln(classes).
        told: The row was reported.
    """

    chance: float | None
    since: int | None = None
    told: bool = False

    def sits_at_chance(self, step: int, loss: float) -> bool:
        """True once, when the loss has stayed at chance, ln(classes), for `STUCK_STEPS` steps.

        Raises:
            DivergedError: The loss is not finite.
        """
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at step {step}")
        if self.chance is None or abs(loss - self.chance) > _CLOSE * self.chance:
            self.since, self.told = None, False
            return False
        self.since = step if self.since is None else self.since
        if self.told or step - self.since < STUCK_STEPS:
            return False
        self.told = True
        return True
