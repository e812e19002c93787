"""Net D predicting a box for each class, at S=256: 29.5% localisation error on ILSVRC validation at Q=256 (Table 9).

Begins with the net that classifies, trained at the same S; the last layer is random (Appendix A). The figure is that of
the second protocol: `recipes/localise.py`, with the classes of the paper's best classifiers.

    accelerate launch recipes/train.py --recipe vgg_d_s256_pcr --data path/to/ILSVRC
"""

from recipes.recipe import Recipe


def recipe() -> Recipe:
    """The paper's defaults, Euclidean loss, a rate of 1e-3, all layers."""
    return Recipe(
        model="vgg_d_box",
        model_args={"initialisation": "normal", "std": 0.01, "regression": "pcr"},
        objective="boxes",
        init_from="vgg_d_s256",
        learning_rate=1e-3,
    )
