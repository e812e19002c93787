"""The net that a run begins with (Sect. 3.1): random weights, net A's layers, or those of the same net at another S.

A net that predicts boxes begins with those of the net that classifies (Appendix A).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
from accelerate.utils import set_seed
from torch import nn

import vgg_zoo
from recipes.recipe import Recipe
from recipes.run_folder import RunFolder
from vgg_zoo.box_net import BoxVGG
from vgg_zoo.entrypoints import pretrained_net
from vgg_zoo.weights.fit import check_fit


def random_net(recipe: Recipe, classes: int) -> Any:
    """The recipe's net with random weights, the same in every process."""
    set_seed(recipe.seed)
    net: Any = timm.create_model(recipe.model, num_classes=classes, **recipe.model_args)
    if recipe.trainable == "fc":
        net.features.requires_grad_(False)
    return net


def beginning(recipe: Recipe, init_from: str | None, output: Path) -> Callable[[nn.Module], None]:
    """What turns a net with random weights into the one that the recipe begins with.

    Args:
        recipe: Its `init_from` names the run that it stands on.
        init_from: That run's folder, or a name that timm loads; None looks beside `output`.
        output: Folder of this run.

    Raises:
        ValueError: The recipe begins with a trained net, and none is there.
    """
    if recipe.init_from is None:
        if init_from is not None:
            raise ValueError("--init-from is for recipes that begin with a trained net; this one begins with none")
        return lambda net: None
    source = init_from or str(output.parent / recipe.init_from)
    if init_from is None and not RunFolder(Path(source)).finished:
        raise ValueError(
            f"the recipe begins with the net of {recipe.init_from}, and {source} is no finished run of it. Train it "
            "first (recipes/reproduce.py trains all that is needed, in order), or name its folder with --init-from"
        )

    def load(net: nn.Module) -> None:
        trained = pretrained_net(source)
        if isinstance(net, BoxVGG) and not isinstance(trained, BoxVGG):
            copy_all_but_last(net, trained)
        elif getattr(trained, "configuration", None) == getattr(net, "configuration", None):
            net.load_state_dict(trained.state_dict())
        else:
            vgg_zoo.initialise_from(net, trained)

    return load


def copy_all_but_last(net: BoxVGG, classifier: Any) -> None:
    """Begin with a net that classifies (Appendix A); the last layer, which predicts boxes, stays random.

    Raises:
        ValueError: The two are not the same net but for that layer.
    """
    own = net.state_dict()
    last = [key for key in own if key.startswith("head.")]
    trained = {key: value for key, value in classifier.state_dict().items() if key not in last}
    check_fit(net, trained, optional=last)
    net.load_state_dict(trained | {key: own[key] for key in last})
