"""What a run learns, as data: the frozen dataclass that every file of `recipes/configs/` returns."""

import importlib
import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.names import SMALL, check_recipe_name, recipe_names
from recipes.recipe_checks.fields import LEAST_SIDE, MOST_SEED, NETS, check_finite, check_named, check_types

if TYPE_CHECKING:  # importing it takes seconds, which no mistake in a field waits for
    from vgg_zoo.images.preprocessing import Colours

OBJECTIVES = ("classes", "boxes")
LAST_LAYER = ("kept", "new")
TRAINABLE = ("all", "fc", "last")
CROPS = ("paper", "resized")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that changes what is learned (Sect. 3.1). The defaults are the paper's single-scale training at S=256.

    Attributes:
        model: Name of the net in timm's registry.
        model_args: Further arguments of the net: its initialisation, its width for small images.
        objective: What is learned: "classes" (Sect. 3.1), or "boxes" by a net that predicts them (Appendix A).
        init_from: Recipe whose trained net this one begins with, or weights by timm's name ("vgg_d.oxford_in1k"): all
            layers where both train the same net, all but the last where this one predicts boxes instead of classes or
            has a new last layer, and net A's first four conv and three FC layers where this one is deeper. None begins
            with random weights.
        last_layer: "kept" is the trained net's, of the same classes; "new" is random, N(0, 0.01²), for classes of one's
            own (as Appendix A's last layer). The net and the preprocessing are then those of the trained net, whatever
            `model` says.
        new_layer_rate: Factor of the learning rate for a new last layer; custom takes 10, the paper 1.
        trainable: "all" layers, the three "fc" layers only, or only the "last".
        crop: "paper" is a crop of the image rescaled to S; "resized" is a random part of the image of any shape,
            stretched to the crop (not the paper's).
        train_scales: Smallest and largest S in pixels; a range is scale jittering. "resized" crops only test by it.
        crop_size: Side of the training crop in pixels.
        test_scale: Q of the dense evaluation in pixels; Sect. 4.1 takes the middle of `train_scales`.
        flip: Mirror half of the crops, and average both ways in testing.
        colour_shift: Standard deviation of Krizhevsky's shift along the principal components of RGB; 0 is none.
        colour_jitter: Largest relative change of brightness, contrast and saturation; the paper has none.
        colours: The mean to subtract and the principal components of the shift; None computes them from the training
            images, as the paper's were.
        batch_size: Images of one SGD step over all processes together.
        fit_batch: Take smaller batches where the data set is small: a quarter of the training images at the most.
        learning_rate: At the start.
        momentum: Of SGD.
        weight_decay: L2 penalty multiplier, on every weight and bias.
        drops: How often the rate is divided by 10 when validation accuracy stops improving.
        patience: Epochs without improvement that count as "stopped improving"; the paper does not say.
        milestones: Epochs after which the rate is divided by 10, in place of `drops` and `patience`.
        iterations: SGD steps at the most.
        epochs: Passes over the training images at the most; the paper's 370K iterations are 74 epochs of ILSVRC.
        ema_decay: Decay of an exponential moving average of the weights, which is then what is tested and saved.
        seed: Of the initial weights, the order of images, crops and dropout.
    """

    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "classes"
    init_from: str | None = None
    last_layer: str = "kept"
    new_layer_rate: float = 1.0
    trainable: str = "all"
    crop: str = "paper"
    train_scales: tuple[int, int] = (256, 256)
    crop_size: int = 224
    test_scale: int = 256
    flip: bool = True
    colour_shift: float = 0.1
    colour_jitter: float = 0.0
    colours: "Colours | None" = None
    batch_size: int = 256
    fit_batch: bool = False
    learning_rate: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    drops: int = 3
    patience: int = 5
    milestones: tuple[int, ...] | None = None
    iterations: int = 370_000
    epochs: int = 74
    ema_decay: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        self._check_values()
        for each in fields(self):
            check_finite(each.name, getattr(self, each.name))
        self._check_beginning()
        net = (self.model, self.objective, self.model_args, self.crop_size)
        check_named(*net)
        if "timm" in sys.modules:  # a command that has only read its options has not imported it, and checks again
            from recipes.recipe_checks.nets import check_colours, check_net

            check_colours(self.colours)
            check_net(*net)

    def _check_values(self) -> None:
        least, most = self.train_scales
        if not self.crop_size <= least <= most:
            raise ValueError(
                f"train_scales must be (S_min, S_max) with crop_size <= S_min <= S_max; got {self.train_scales} with "
                f"crop_size {self.crop_size}"
            )
        if self.test_scale < self.crop_size:
            raise ValueError(f"test_scale must be at least crop_size ({self.crop_size}); got {self.test_scale}")
        chosen = {"objective": OBJECTIVES, "last_layer": LAST_LAYER, "trainable": TRAINABLE, "crop": CROPS}
        for name, options in chosen.items():
            if getattr(self, name) not in options:
                raise ValueError(f"{name} must be one of {', '.join(options)}; got {getattr(self, name)!r}")
        for name in ("batch_size", "learning_rate", "new_layer_rate", "epochs", "iterations", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "drops", "colour_shift", "colour_jitter", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if self.momentum >= 1:
            raise ValueError(f"momentum must be below 1, or old gradients never fade; got {self.momentum}")
        if self.colour_jitter > 1:
            raise ValueError(f"colour_jitter must be at most 1, or colours turn negative; got {self.colour_jitter}")
        if self.seed > MOST_SEED:
            raise ValueError(f"seed must be at most 2**32 - 1; got {self.seed}")
        if self.objective == "boxes" and self.crop != "paper":
            raise ValueError(f"boxes are learned from the paper's crops alone; got crop {self.crop!r}")
        if self.milestones is not None and [0, *self.milestones] != sorted({0, *self.milestones}):
            raise ValueError(f"milestones must be epochs above 0 in rising order; got {self.milestones}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, or be None; got {self.ema_decay}")

    def _check_beginning(self) -> None:
        if self.init_from == "":
            raise ValueError("init_from must name a recipe or weights, or be None; got ''")
        if self.last_layer == "new" and self.init_from is None:
            raise ValueError("last_layer 'new' is for nets that begin with trained weights; name them in init_from")
        if self.last_layer == "new" and self.objective == "boxes":
            raise ValueError("last_layer 'new' is for classes: a net that predicts boxes has a new one in any case")
        if self.last_layer == "kept" and self.new_layer_rate != 1:
            raise ValueError(f"new_layer_rate is the rate of a new last layer; got {self.new_layer_rate} without one")

    @property
    def stands_on(self) -> str | None:
        """The recipe whose run this one begins with; None where it begins with published or random weights."""
        if self.init_from is None or self.init_from.partition(".")[0] in NETS:
            return None
        if self.init_from.removesuffix(SMALL) in recipe_names():
            return self.init_from
        from recipes.recipe_checks.nets import is_net

        return None if is_net(self.init_from) else self.init_from

    @property
    def single_crop_scale(self) -> int:
        """Q of the single-crop test in pixels: the middle of the training scales."""
        return sum(self.train_scales) // 2

    def fitted(self, training_images: int) -> "Recipe":
        """The recipe for so many images: with a smaller batch where `fit_batch` says so, for four steps an epoch."""
        if not self.fit_batch:
            return self
        return replace(self, batch_size=min(self.batch_size, max(1, training_images // 4)))

    def steps(self, training_images: int) -> int:
        """SGD steps at the most, on a training set of so many images."""
        return min(self.iterations, self.epochs * (training_images // self.batch_size))


def small(recipe: Recipe) -> Recipe:
    """A recipe of the paper at a seventh of its pixels and a tenth of its width: to try a chain of runs in minutes.

    The net's first FC layer covers one cell, so that a crop has 32 pixels where the paper's has 224. What does not
    scale changes: σ = 0.01 fits the paper's widths only, so the weights begin by Glorot's rule; and a run has four
    epochs of batches of 64 images, which shows that everything works and teaches little.
    """

    if recipe.init_from is not None and recipe.stands_on is None:
        raise ValueError(f"a recipe that begins with {recipe.init_from} has no small one: those weights have one size")

    def shrink(pixels: int) -> int:
        return pixels * LEAST_SIDE // 224

    kept = {key: value for key, value in recipe.model_args.items() if key not in ("initialisation", "std")}
    return replace(
        recipe,
        model_args={**kept, "width_multiplier": 0.1, "head_hidden_size": 64, "head_kernel_size": 1},
        init_from=recipe.init_from and recipe.init_from + SMALL,
        train_scales=(shrink(recipe.train_scales[0]), shrink(recipe.train_scales[1])),
        crop_size=shrink(recipe.crop_size),
        test_scale=shrink(recipe.test_scale),
        batch_size=64,
        epochs=4,
        milestones=None,
    )


def load_recipe(name: str) -> Recipe:
    """The recipe of `recipes/configs/NAME.py`, or of a file of one's own.

    Args:
        name: One of `recipes.names.recipe_names()`, followed by "@small" for the `small` one; or the path of a file
            that ends in .py and has a function `recipe()`.

    Raises:
        ValueError: No such recipe or file, or no such function in it; the message lists the recipes.
    """
    check_recipe_name(name)
    stem, is_small = name.removesuffix(SMALL), name.endswith(SMALL)
    if stem.endswith(".py"):
        make = _function_of(Path(stem))
    else:
        make = importlib.import_module(f"recipes.configs.{stem}").recipe
    recipe = _made(name, make)
    return small(recipe) if is_small else recipe


def _made(name: str, make: Callable[[], Any]) -> Recipe:
    try:
        recipe = make()
    except TypeError as error:
        if f"{Recipe.__name__}.__init__()" not in str(error):
            raise  # a mistake in the file's own code, which its traceback tells best
        known = ", ".join(each.name for each in fields(Recipe))
        raise ValueError(f"{name}: {error}; a recipe's fields are {known}") from error
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{name}: recipe() must return a Recipe; got {recipe!r}")
    return recipe


def _function_of(path: Path) -> Any:
    make = runpy.run_path(str(path)).get("recipe")
    if not callable(make):
        raise ValueError(f"{str(path)!r} has no function recipe() that returns a Recipe")
    return make
