"""Net D predicting a box for each class at S=256, its FC layers alone: the paper gives no figure of it (Appendix A).

accelerate launch recipes/train.py --recipe vgg_d_s256_pcr_fc --data path/to/ILSVRC
"""

from dataclasses import replace

from recipes.configs import vgg_d_s256_pcr
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_d_s256_pcr with a frozen trunk."""
    return replace(vgg_d_s256_pcr.recipe(), trainable="fc")
