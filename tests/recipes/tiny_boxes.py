"""A recipe of a few milliseconds a step that learns boxes, from random weights."""

from dataclasses import replace

from recipes.recipe import Recipe
from tests.recipes import tiny


def recipe() -> Recipe:
    """The very small net A of tiny.py, with a box for each class."""
    classes = tiny.recipe()
    model_args = {**classes.model_args, "regression": "pcr"}
    return replace(
        classes, model="vgg_a_box", model_args=model_args, objective="boxes", train_scales=(40, 40), learning_rate=1e-2
    )
