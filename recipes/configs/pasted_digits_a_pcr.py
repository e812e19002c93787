"""Net A, small, predicting a box for each digit that is pasted on a photo (Appendix A).

accelerate launch recipes/train.py --recipe pasted_digits_a_pcr --data pasted_digits --output runs/pasted_digits_a_pcr
"""

from dataclasses import replace

from recipes.configs import pasted_digits_a
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Begins with the net that classifies."""
    classifier = pasted_digits_a.recipe()
    return replace(
        classifier,
        model="vgg_a_box",
        model_args={**classifier.model_args, "regression": "pcr"},
        objective="boxes",
        init_from="pasted_digits_a",
        learning_rate=1e-2,
        epochs=12,
    )
