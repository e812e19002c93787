"""The learning rate (Sect. 3.1): divided by 10 each time validation accuracy stops improving."""

from dataclasses import dataclass

from recipes.recipe import Recipe


@dataclass(slots=True)
class Plateau:
    """What the schedule has seen so far.

    Attributes:
        recipe: Its rate, drops and patience.
        best: Highest validation accuracy so far, from 0 to 1.
        waited: Epochs since then, or since the last drop.
        drops: Times the rate was divided by 10.
    """

    recipe: Recipe
    best: float = -1.0
    waited: int = 0
    drops: int = 0

    @property
    def learning_rate(self) -> float:
        """Of the next epoch."""
        return float(self.recipe.learning_rate / 10**self.drops)

    def after_epoch(self, accuracy: float) -> None:
        """Take the accuracy of the epoch that has just ended."""
        if accuracy > self.best:
            self.best, self.waited = accuracy, 0
            return
        self.waited += 1
        if self.waited >= self.recipe.patience and self.drops < self.recipe.drops:
            self.drops, self.waited = self.drops + 1, 0
