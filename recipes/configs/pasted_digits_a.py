"""Net A, small, on digits pasted on photos: the classifier of the localisation demo.

accelerate launch recipes/train.py --recipe pasted_digits_a --data pasted_digits --output runs/pasted_digits_a
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's training at the sizes of these images."""
    return Recipe(
        model="vgg_a",
        model_args={"width_multiplier": 0.25, "head_hidden_size": 256, "head_kernel_size": 2},
        train_scales=(72, 72),
        crop_size=64,
        test_scale=72,
        flip=False,
        batch_size=64,
        epochs=12,
    )
