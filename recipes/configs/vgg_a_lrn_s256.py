"""Net A-LRN at S=256: 29.7% top-1, 10.5% top-5 error on ILSVRC validation, dense at Q=256 (Table 3).

Normalisation does not help: compare with vgg_a_s256, which differs in nothing else.

    accelerate launch recipes/train.py --recipe vgg_a_lrn_s256 --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_a_s256
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Net A's training with LRN in it."""
    return replace(vgg_a_s256.recipe(), model="vgg_a_lrn")
