"""Net D with scale jittering, only its FC layers fine-tuned: one of the seven nets of the paper's ILSVRC submission.

Table 6 gives no figure for it alone; the seven nets together make 24.7% top-1, 7.5% top-5 error.

    accelerate launch recipes/train.py --recipe vgg_d_s256_512_fc --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_d_s256_512
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """vgg_d_s256_512 with a frozen trunk."""
    return replace(vgg_d_s256_512.recipe(), trainable="fc")
