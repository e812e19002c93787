"""Net A, small, on scikit-learn's 1,797 handwritten digits: some 98% right, in about a minute on two cores.

The paper's training, scaled down: its optimiser, scale jittering, and a crop of 64 pixels in place of 224. The rate
falls at fixed epochs, so that the training takes as many steps on every machine. No flips: a mirrored 2 is not a 2; no
colour shift: the digits are grey.

    accelerate launch recipes/train.py --recipe digits_vgg_a --data digits --output runs/digits
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Train for 14 epochs."""
    return Recipe(
        model="vgg_a",
        model_args={"width_multiplier": 0.25, "head_hidden_size": 256, "head_kernel_size": 2},
        train_scales=(64, 96),
        crop_size=64,
        test_scale=80,
        flip=False,
        colour_shift=0.0,
        batch_size=32,
        epochs=14,
        milestones=(10, 13),
    )
