"""Net A, small, predicting a box for each digit that is pasted on a photo: at most 20% box error, the class given.

Begins with the net that classifies (Appendix A), in the folder pasted_digits_a beside the output.

    accelerate launch recipes/train.py --recipe pasted_digits_a_pcr --data pasted_digits --output runs/pasted_boxes
"""

from dataclasses import replace

from recipes.configs import pasted_digits_a
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The trainer's defaults but for the objective; the rate is higher than the paper's, as the net is small."""
    classifier = pasted_digits_a.recipe()
    return replace(
        classifier,
        model="vgg_a_box",
        model_args={**classifier.model_args, "regression": "pcr"},
        objective="boxes",
        init_from="pasted_digits_a",
    )
