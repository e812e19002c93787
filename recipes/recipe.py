"""What a run learns, as data: the frozen dataclass that every file of `recipes/configs/` returns."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that changes what is learned (Sect. 3.1). The defaults are the paper's single-scale training at S=256.

    Attributes:
        model: Name of the net in timm's registry.
        model_args: Further arguments of the net: its initialisation, its width for small images.
        train_scales: Smallest and largest S in pixels; a range is scale jittering.
        crop_size: Side of the training crop in pixels.
        test_scale: Q of the dense evaluation in pixels; Sect. 4.1 takes the middle of `train_scales`.
        flip: Mirror half of the crops, and average both ways in testing.
        mean: RGB subtracted from every pixel, in 0–255; None computes it from the training images.
        batch_size: Images of one SGD step over all processes together.
        learning_rate: At the start.
        momentum: Of SGD.
        weight_decay: L2 penalty multiplier, on every weight and bias.
        drops: How often the rate is divided by 10 when validation accuracy stops improving.
        patience: Epochs without improvement that count as "stopped improving"; the paper does not say.
        epochs: Length of the run at the most; the paper's 370K iterations at batch 256 are 74 epochs of ILSVRC.
        seed: Of the initial weights, the order of images, crops and dropout.
    """

    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    train_scales: tuple[int, int] = (256, 256)
    crop_size: int = 224
    test_scale: int = 256
    flip: bool = True
    mean: tuple[float, float, float] | None = None
    batch_size: int = 256
    learning_rate: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    drops: int = 3
    patience: int = 5
    epochs: int = 74
    seed: int = 0

    def __post_init__(self) -> None:
        least, most = self.train_scales
        if not self.crop_size <= least <= most:
            raise ValueError(
                f"train_scales must be (S_min, S_max) with crop_size <= S_min <= S_max; got {self.train_scales} with "
                f"crop_size {self.crop_size}"
            )
        if self.test_scale < self.crop_size:
            raise ValueError(f"test_scale must be at least crop_size ({self.crop_size}); got {self.test_scale}")
        for name in ("batch_size", "learning_rate", "epochs", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "drops"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")


def recipe_names() -> list[str]:
    """The files of `recipes/configs/`: the folder is the registry."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def load_recipe(name: str) -> Recipe:
    """The recipe of `recipes/configs/NAME.py`.

    Raises:
        ValueError: No such file; the message lists the recipes.
    """
    if name not in recipe_names():
        raise ValueError(f"unknown recipe {name!r}; recipes/configs/ has {', '.join(recipe_names())}")
    module = importlib.import_module(f"recipes.configs.{name}")
    recipe: Recipe = module.recipe()
    return recipe
