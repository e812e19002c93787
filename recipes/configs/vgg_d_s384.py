"""Net D at S=384: 26.8% top-1, 8.7% top-5 error on ILSVRC validation, dense at Q=384 (Table 3).

Begins with the net trained at S=256, at a rate of 1e-3 (Sect. 3.1).

    accelerate launch recipes/train.py --recipe vgg_d_s384 --data ILSVRC/imagenet-1k
"""

from dataclasses import replace

from recipes.configs import vgg_d_s256
from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The same training on larger images, from what S=256 has learned."""
    return replace(
        vgg_d_s256.recipe(),
        init_from="vgg_d_s256",
        train_scales=(384, 384),
        test_scale=384,
        learning_rate=1e-3,
    )
