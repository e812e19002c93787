"""Net A, small, predicting the box of the digit that is pasted on a photo: about 0.5% box error, the class given.

Begins with the net that classifies (Appendix A), in the folder pasted_digits_a beside the output.

    accelerate launch recipes/train.py --recipe pasted_digits_a_scr --data pasted_digits --output runs/pasted_boxes
"""

from dataclasses import replace

from recipes.configs import pasted_digits_a
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The classifier except for the objective, the rate, and dropout, whose noise so small a net cannot average."""
    classifier = pasted_digits_a.recipe()
    return replace(
        classifier,
        model="vgg_a_box",
        model_args={**classifier.model_args, "regression": "scr", "drop_rate": 0.0},
        objective="boxes",
        init_from="pasted_digits_a",
        learning_rate=6e-3,
        epochs=6,
        milestones=(5,),
    )
