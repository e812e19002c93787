"""NOT the paper's training. Net D as GluonCV trained it: 26.8% top-1, 8.7% top-5 error on a centre crop.

The best plain VGGs published (nets without batch normalisation): crops of random shape, brightness, contrast and
saturation jittered, the rate divided by 10 at fixed epochs, a fifth of the paper's weight decay. GluonCV also divides
the pixels by their deviation; here, as everywhere in this project, they are RGB minus the mean.

    accelerate launch recipes/train.py --recipe vgg_d_modern --data ILSVRC/imagenet-1k
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """100 epochs from Glorot's weights."""
    return Recipe(
        model="vgg_d",
        crop="resized",
        colour_jitter=0.4,
        weight_decay=1e-4,
        milestones=(50, 80),
        epochs=100,
        iterations=100 * (1_281_167 // 256),
    )
