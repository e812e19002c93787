"""Sect. 4.1's shallow net (B with five 5×5 convs) at S=256: its top-1 error on a centre crop is 7% above net B's.

Net A's 3×3 kernels do not fit it, and with eight layers it learns from N(0, 0.01²).

    accelerate launch recipes/train.py --recipe vgg_b_shallow_s256 --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_a_s256
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Net A's training of another net."""
    return replace(vgg_a_s256.recipe(), model="vgg_b_shallow")
