"""The net that a run begins with (Sect. 3.1): random weights, net A's layers, or those of the same net at another S.

A net that predicts boxes begins with the layers of a classifier (Appendix A), and a net for the user's own classes with
those of any trained net. Both get a new last layer.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from accelerate.utils import set_seed
from timm.models import get_pretrained_cfg
from torch import nn

import vgg_zoo
from recipes.recipe import Recipe
from recipes.training.run_folder import RunFolder
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.configurations import FC_KEYS
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS, Colours
from vgg_zoo.json_files import read_object
from vgg_zoo.model import outputs_of
from vgg_zoo.pretrained import check_source, name_for_timm, pretrained_net
from vgg_zoo.weights.fit import check_fit
from vgg_zoo.weights.folder import CONFIG
from vgg_zoo.weights.hub_file import optional_file
from vgg_zoo.weights.published import PUBLISHED

STD = 0.01
"""σ of a new last layer: the paper's (Sect. 3.1, as docs/paper_map.md reads it)."""

_WAY_OUT = "--recipe finetune_d gives any trained net a new last layer (docs/own_classes.md)"
_SAME_NETS = {"vgg11": "vgg_a", "vgg13": "vgg_b", "vgg16": "vgg_d", "vgg19": "vgg_e"}
"""timm's own nets, which have the same layers under the same names."""


def random_net(recipe: Recipe, classes: int) -> Any:
    """The recipe's net with random weights, the same in every process."""
    set_seed(recipe.seed)
    net: Any = timm.create_model(recipe.model, num_classes=classes, **recipe.model_args)
    if recipe.last_layer == "new":
        nn.init.normal_(net.head.fc.weight, 0.0, STD)
    if recipe.trainable != "all":
        net.features.requires_grad_(False)
    if recipe.trainable == "last":
        net.pre_logits.requires_grad_(False)
    return net


def beginning(recipe: Recipe, init_from: str | None, output: Path) -> str | None:
    """The trained net that a run begins with: a folder or a name that timm loads; None for random weights.

    Args:
        recipe: A recipe whose `init_from` names another run, or weights.
        init_from: A folder or name to use instead; None takes the weights, or looks for the run beside `output`.
        output: Folder of this run.

    Raises:
        ValueError: The recipe begins with a trained net, but there is none.
    """
    if recipe.init_from is None:
        if init_from is not None:
            raise ValueError(
                "--init-from is for recipes that begin with a trained net; this one begins with none. For classes of "
                f"your own, {_WAY_OUT}"
            )
        return None
    source = init_from or (str(output.parent / recipe.stands_on) if recipe.stands_on else recipe.init_from)
    if init_from is None and recipe.stands_on and not RunFolder(Path(source)).finished:
        raise ValueError(
            f"the recipe begins with the net of {recipe.init_from}, and {source} is no finished run of it. Train it "
            "first (recipes/reproduce.py trains all that is needed, in order), or name its folder with --init-from"
        )
    check_source(source)
    return source


def following(recipe: Recipe, source: str | None) -> Recipe:
    """The recipe with the net of its initial weights, if its last layer is new.

    Args:
        recipe: The recipe; its `model_args` override those of the weights, for example dropout.
        source: As from `beginning`.

    Raises:
        ValueError: The weights are neither of a net of this zoo nor of timm's own without batch normalisation.
        OSError: The Hub does not answer.
    """
    if recipe.last_layer == "kept" or source is None:
        return recipe
    model, arguments = _made_like(source)
    try:
        return replace(recipe, model=_SAME_NETS.get(model, model), model_args={**arguments, **recipe.model_args})
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _made_like(source: str) -> tuple[str, dict[str, Any]]:
    """The net of weights, and its arguments."""
    name = name_for_timm(source)
    kind, _, place = name.rpartition(":")
    if not kind:
        cfg = get_pretrained_cfg(name)
        full = f"{cfg.architecture}.{cfg.tag}" if cfg else name
        return name.partition(".")[0], dict(PUBLISHED[full].model_args) if full in PUBLISHED else {}
    if kind == "hf-hub":
        repository, _, revision = place.partition("@")
        file = optional_file(repository, CONFIG, revision or None)
        assert file is not None  # check_source has found it
    else:
        file = Path(place) / CONFIG
    config = read_object(file, "name another net with --init-from", ["architecture"])
    arguments = config.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise ValueError(f"{file}: model_args must be an object; got {arguments!r}")
    # Grey nets keep their in_chans, which no recipe has, so they are refused.
    given = {key: value for key, value in arguments.items() if (key, value) != ("in_chans", 3) and key != "num_classes"}
    return config["architecture"], given


def begin_with(source: str | None, net: Any, recipe: Recipe) -> Colours | None:
    """Turn a net with random weights into the initial net of the recipe, which `beginning` named.

    Returns:
        The colours for preparing the images if the last layer is new: those of the trained net.

    Raises:
        ValueError: The recipe cannot begin with this net.
    """
    if source is None:
        return None
    trained = pretrained_net(source)
    colours = colours_of(trained)
    if recipe.last_layer == "new":
        copy_all_but_last(net, trained)
        return colours
    if colours.divides:
        raise ValueError(
            f"{source} learned from images divided by {_numbers(colours.deviation)}, and this recipe divides by "
            f"nothing; {_WAY_OUT} and divides as its weights do"
        )
    if isinstance(net, BoxVGG) and not isinstance(trained, BoxVGG):
        copy_all_but_last(net, trained)
        return None
    if not isinstance(net, BoxVGG) and outputs_of(trained) != outputs_of(net):
        raise ValueError(
            f"{source} tells {outputs_of(trained)} classes apart and the data set has {outputs_of(net)}, and this "
            f"recipe keeps the last layer; {_WAY_OUT}"
        )
    if getattr(trained, "configuration", None) == getattr(net, "configuration", None):
        check_fit(net, trained.state_dict())
        net.load_state_dict(trained.state_dict())
    else:
        vgg_zoo.initialise_from(net, trained)
    return None


def copy_all_but_last(net: Any, trained: Any) -> None:
    """Copy another net's layers, except the last, which predicts boxes or other classes and stays random (Appendix A).

    Raises:
        ValueError: The two nets differ in another layer.
    """
    own = net.state_dict()
    last = [key for key in own if key.startswith("head.")]
    kept = {key: value for key, value in trained.state_dict().items() if key not in last}
    check_fit(net, kept, optional=last)
    net.load_state_dict(kept | {key: own[key] for key in last})


def colours_of(trained: Any) -> Colours:
    """The colours for the images of a trained net: its mean and deviation, and ILSVRC's principal components.

    No config has components, and new images may be too few for their own, or grey.
    """
    cfg = trained.pretrained_cfg
    mean, deviation = (tuple(round(255 * value, 4) for value in cfg[name]) for name in ("mean", "std"))
    return replace(IMAGENET_COLOURS, mean=mean, deviation=deviation)


def last_layer(net: Any) -> list[nn.Parameter]:
    """The weights and biases of fc8."""
    return list(net.get_submodule(FC_KEYS["fc8"]).parameters())


def sentences(recipe: Recipe, source: str, classes: int, colours: Colours) -> str:
    """A sentence on the beginning of a net with a new last layer, and on how it learns."""
    learns = {"all": "all layers learn", "fc": "the trunk is frozen", "last": "all but fc8 is frozen"}[recipe.trainable]
    rate = f", fc8 at {recipe.new_layer_rate:g} times the rate" if recipe.new_layer_rate != 1 else ""
    divided = f", divided by {_numbers(colours.deviation)}" if colours.divides else ""
    given = "as the recipe says" if recipe.colours else "as these weights were trained"
    return (
        f"begins with {source}: {recipe.model}, whose layers are copied except fc8, which is new, N(0, {STD}²), for "
        f"{classes} classes; {learns}{rate}\nimages are RGB minus {_numbers(colours.mean)}{divided}, {given}"
    )


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
