"""Classes of your own: net D with Oxford's weights and a new last layer, all layers fine-tuned at 1e-3.

For data sets of some hundreds of images a class and more, on a GPU. The rate falls as the paper's does, when
validation accuracy stops improving; the new layer learns at 10 times the rate, as is the custom (the paper has no such
layer). S is jittered in [256; 512], as it was when these weights were trained (Sect. 3.1).

    accelerate launch recipes/train.py --recipe finetune_d --data photos --output runs/photos
    accelerate launch recipes/train.py --recipe finetune_d --data photos --init-from vgg_e.tv_in1k --output runs/e
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's fine-tuning with a last layer of other classes."""
    return Recipe(
        model="vgg_d",
        init_from="vgg_d.oxford_in1k",
        last_layer="new",
        new_layer_rate=10.0,
        train_scales=(256, 512),
        test_scale=384,
        batch_size=64,
        fit_batch=True,
        learning_rate=1e-3,
    )
