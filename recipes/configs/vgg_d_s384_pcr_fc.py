"""Net D predicting a box for each class at S=384, its FC layers alone: 34.3% box error, the class given (Table 8).

"Fine-tuning only the first two fully-connected layers"; the third, which is random at first, is trained in any case.

    accelerate launch recipes/train.py --recipe vgg_d_s384_pcr_fc --data path/to/ILSVRC
"""

from dataclasses import replace

from recipes.configs import vgg_d_s384_pcr
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_d_s384_pcr with a frozen trunk."""
    return replace(vgg_d_s384_pcr.recipe(), trainable="fc")
