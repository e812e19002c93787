"""Classes of your own: finetune_d with a frozen trunk, the paper's own way for a net of its submission (Table 6).

A third of the arithmetic of finetune_d, and less that can be learned by heart: for some tens to hundreds of images a
class that look like photos. The paper tuned the three FC layers alone at S in [256; 512] (vgg_d_s256_512_fc).

    accelerate launch recipes/train.py --recipe finetune_d_fc --data photos --output runs/photos
"""

from dataclasses import replace

from recipes.configs import finetune_d
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """Only the FC layers learn."""
    return replace(finetune_d.recipe(), trainable="fc")
