"""Net D predicting a box for each class, at S=384: 33.1% box error with the true class given (Table 8).

28.2% localisation error on ILSVRC validation at Q=384 (Table 9, the second protocol). Begins with the net that
classifies, trained at the same S.

    accelerate launch recipes/train.py --recipe vgg_d_s384_pcr --data path/to/ILSVRC
"""

from dataclasses import replace

from recipes.configs import vgg_d_s256_pcr
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The same training on larger images."""
    return replace(vgg_d_s256_pcr.recipe(), init_from="vgg_d_s384", train_scales=(384, 384), test_scale=384)
