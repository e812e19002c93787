"""Net C with scale jittering, S in [256; 512]: 27.3% top-1, 8.8% top-5 error on ILSVRC validation, dense at Q=384
(Table 3); 26.3/8.2% over Q = 256, 384, 512 (Table 4).

Fine-tunes all layers of the net trained at S=384 (Sect. 3.1). The paper gives no rate; we keep that of S=384.

    accelerate launch recipes/train.py --recipe vgg_c_s256_512 --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_c_s384
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """S drawn again for every crop."""
    return replace(vgg_c_s384.recipe(), init_from="vgg_c_s384", train_scales=(256, 512))
