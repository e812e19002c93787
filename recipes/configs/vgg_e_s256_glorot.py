"""Net E at S=256 without net A: all weights begin by Glorot's rule, to reach what vgg_e_s256 does.

"It is possible to initialise the weights without pre-training" (Sect. 3.1, found after the paper's submission).
Table 3's 27.3% top-1, 9.0% top-5 is the mark.

    accelerate launch recipes/train.py --recipe vgg_e_s256_glorot --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_e_s256
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_e_s256 with another beginning."""
    return replace(vgg_e_s256.recipe(), model_args={"initialisation": "glorot"}, init_from=None)
