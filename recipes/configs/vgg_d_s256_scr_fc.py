"""Net D predicting one box for all classes at S=256, its FC layers alone: the paper gives no figure of it (Appendix A).

accelerate launch recipes/train.py --recipe vgg_d_s256_scr_fc --data path/to/ILSVRC
"""

from dataclasses import replace

from recipes.configs import vgg_d_s256_pcr_fc
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_d_s256_pcr_fc with four outputs."""
    per_class = vgg_d_s256_pcr_fc.recipe()
    return replace(per_class, model_args={**per_class.model_args, "regression": "scr"})
