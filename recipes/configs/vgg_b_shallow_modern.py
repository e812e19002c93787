"""NOT the paper's training. Net shallow B trained as vgg_d_modern: no modern training of it has been published.

accelerate launch recipes/train.py --recipe vgg_b_shallow_modern --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_d_modern
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_d_modern with another net."""
    return replace(vgg_d_modern.recipe(), model="vgg_b_shallow")
