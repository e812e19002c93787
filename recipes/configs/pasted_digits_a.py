"""Net A, small, on digits pasted on photos: the classifier of the localisation demo, about 4% top-1 error.

Begins with the net that `digits_vgg_a` has trained on digits alone: from random weights it takes long to find them.

    accelerate launch recipes/train.py --recipe pasted_digits_a --data pasted_digits --output runs/pasted_digits_a
"""

from dataclasses import replace

from recipes.configs import digits_vgg_a
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The same training, shorter and with less dropout, at the sizes of these images."""
    digits = digits_vgg_a.recipe()
    return replace(
        digits,
        model_args={**digits.model_args, "drop_rate": 0.2},
        init_from="digits_vgg_a",
        train_scales=(64, 64),
        test_scale=64,
        learning_rate=3e-3,
        epochs=4,
        milestones=(3,),
    )
