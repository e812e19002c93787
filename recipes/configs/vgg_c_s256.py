"""Net C at S=256: 28.1% top-1, 9.4% top-5 error on ILSVRC validation, dense at Q=256 (Table 3).

Begins with the first four conv and the three FC layers of the trained net A; the rest is N(0, 0.01²) (Sect. 3.1).

    accelerate launch recipes/train.py --recipe vgg_c_s256 --data ILSVRC/imagenet-1k
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's defaults, pre-initialised with net A."""
    return Recipe(model="vgg_c", model_args={"initialisation": "normal", "std": 0.01}, init_from="vgg_a_s256")
