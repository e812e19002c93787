"""Net A at S=256: 29.6% top-1, 10.4% top-5 error on ILSVRC validation, dense at Q=256 (Table 3).

The first run of the chain: from N(0, 0.01²), as this net is shallow enough for (Sect. 3.1). The deeper nets begin
with it.

    accelerate launch recipes/train.py --recipe vgg_a_s256 --data ILSVRC/imagenet-1k
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's defaults, from random weights."""
    return Recipe(model="vgg_a", model_args={"initialisation": "normal", "std": 0.01})
