"""The learning rate (Sect. 3.1): divided by 10 each time validation accuracy stops improving."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recipes.recipe import Recipe


@dataclass(slots=True)
class Schedule:
    """The paper's schedule, or drops at the recipe's milestones, with its state.

    Attributes:
        recipe: The recipe with the rate, and either drops and patience, or milestones.
        epochs: Number of finished epochs.
        best: Highest validation accuracy so far, from 0 to 1.
        waited: Epochs since the best accuracy or the last drop.
        drops: How often the rate was divided by 10.
        ended: Whether accuracy stopped improving after the last drop, so that there is nothing more to learn.
    """

    recipe: Recipe
    epochs: int = 0
    best: float = -1.0
    waited: int = 0
    drops: int = 0
    ended: bool = False

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return float(self.recipe.learning_rate / 10**self.drops)

    def after_epoch(self, accuracy: float) -> None:
        """Update the schedule with the accuracy of the last epoch."""
        self.epochs += 1
        if accuracy > self.best:
            self.best, self.waited = accuracy, 0
        else:
            self.waited += 1
        if self.recipe.milestones is not None:
            self.drops = sum(self.epochs >= epoch for epoch in self.recipe.milestones)
        elif self.waited >= self.recipe.patience:
            self.ended = self.drops == self.recipe.drops
            self.drops, self.waited = min(self.drops + 1, self.recipe.drops), 0

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {key: value for key, value in asdict(self).items() if key != "recipe"}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from `state()`; raises `KeyError` if it has other keys."""
        if state.keys() != self.state().keys():
            raise KeyError(f"a schedule has {', '.join(self.state())}, not {', '.join(state)}")
        for key, value in state.items():
            setattr(self, key, value)
