"""Net A, small, on scikit-learn's 1,797 handwritten digits: at least 97% right, in about two minutes on two cores.

The paper's training, scaled down: its optimiser, its plateau schedule, scale jittering, and a crop of 64 pixels in
place of 224. No flips: a mirrored 2 is not a 2; no colour shift: the digits
are grey.

    accelerate launch recipes/train.py --recipe digits_vgg_a --data digits --output runs/digits
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Train for 40 epochs at most."""
    return Recipe(
        model="vgg_a",
        model_args={"width_multiplier": 0.25, "head_hidden_size": 256, "head_kernel_size": 2},
        train_scales=(64, 112),
        crop_size=64,
        test_scale=96,
        flip=False,
        colour_shift=0.0,
        batch_size=64,
        epochs=40,
    )
