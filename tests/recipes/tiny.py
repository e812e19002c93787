"""A recipe of a few milliseconds a step with all that can differ between processes: jitter, colours, flips, dropout."""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's training of a very small net A, at a low rate: a ReLU that rounding switches matters little."""
    return Recipe(
        model="vgg_a",
        model_args={"width_multiplier": 0.07, "head_hidden_size": 32, "head_kernel_size": 1},
        train_scales=(32, 64),
        crop_size=32,
        test_scale=48,
        batch_size=50,
        learning_rate=5e-4,
        epochs=3,
    )
