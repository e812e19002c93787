"""Classes of your own from few images: net D with Oxford's weights, of which only a new last layer learns.

For 5 to 50 images a class, also without a GPU: nothing but the forward pass costs anything. It is multinomial logistic
regression on fc7 with the trainer's crops, beside which Appendix B's linear SVM (recipes/linear_svm.py) is to be
tried. 20 epochs in small batches; the rate falls after fixed epochs, as so few validation images tell no plateau.

    accelerate launch recipes/train.py --recipe finetune_small --data photos --output runs/photos
"""

from dataclasses import replace

from recipes.configs import finetune_d
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """At S=256, with one rate."""
    return replace(
        finetune_d.recipe(),
        trainable="last",
        new_layer_rate=1.0,
        train_scales=(256, 256),
        test_scale=256,
        batch_size=16,
        epochs=20,
        milestones=(12, 17),
    )
