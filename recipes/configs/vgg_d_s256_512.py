"""Net D with scale jittering, S in [256; 512]: 25.6% top-1, 8.1% top-5 error on ILSVRC validation, dense at Q=384
(Table 3); 24.8/7.5% over Q = 256, 384, 512 (Table 4).

Fine-tunes all layers of the net trained at S=384 (Sect. 3.1). The paper gives no rate; we keep that of S=384.

    accelerate launch recipes/train.py --recipe vgg_d_s256_512 --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_d_s384
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """S drawn again for every crop."""
    return replace(vgg_d_s384.recipe(), init_from="vgg_d_s384", train_scales=(256, 512))
