"""The net of a folder as the paper's class, and the names under which other libraries load it."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hub.repository.files import read_object
from vgg_zoo.entrypoints import default_cfgs
from vgg_zoo.model import VGG
from vgg_zoo.weights.fit import check_fit
from vgg_zoo.weights.folder import CONFIG, WEIGHTS
from vgg_zoo.weights.published import MODEL_ARGS

TIMM_NAMES = {"vgg_a": "vgg11", "vgg_b": "vgg13", "vgg_d": "vgg16", "vgg_e": "vgg19"}
"""timm's own nets with the same weights under the same keys; timm does not have the other nets."""

SOURCES = ("source", "file", "url", "hf_hub_id", "hf_hub_filename", "state_dict", "custom_load")
"""Fields of timm's pretrained_cfg that say where weights are."""

_OURS = {theirs: ours for ours, theirs in TIMM_NAMES.items()}


def zoo_name(architecture: str) -> str:
    """Our name for timm's name of a net; the zoo's own names do not change.

    Raises:
        ValueError: It is no net of the paper.
    """
    name = _OURS.get(architecture, architecture)
    if name not in default_cfgs:
        raise ValueError(f"{architecture!r} is no net of the paper; they are {', '.join([*default_cfgs, *_OURS])}")
    return name


def net_of_config(config: dict[str, Any], device: str | None = None) -> VGG:
    """The net that a config.json describes, without its weights; on "meta" only its shapes.

    Raises:
        ValueError: It is no net of the paper, or it does not take RGB images or does not average over positions.
    """
    try:
        arguments, cfg = dict(config.get("model_args", {})), dict(config["pretrained_cfg"])
        architecture, classes, channels = config["architecture"], int(config["num_classes"]), cfg["input_size"][0]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"the config is not what timm writes ({error!r})") from error
    if unknown := sorted(set(arguments) - MODEL_ARGS):
        raise ValueError(f"the config's model_args has {', '.join(unknown)}; it may have {', '.join(MODEL_ARGS)}")
    about = (channels, arguments.get("in_chans", 3), arguments.get("global_pool", "avg"))
    if about != (3, 3, "avg"):
        raise ValueError(f"a published net takes RGB images and averages over positions; the config says {about}")
    for place in SOURCES:
        cfg.pop(place, None)
    try:
        net = timm.create_model(
            zoo_name(architecture),
            pretrained_cfg={**cfg, "num_classes": classes, "label_names": config.get("label_names")},
            **{**arguments, "num_classes": classes, "device": device},
        )
    except TypeError as error:
        raise ValueError(f"the config does not make a net: {error}") from error
    assert isinstance(net, VGG)
    return net.eval()


def load_net(folder: Path) -> VGG:
    """The net of a folder with its weights in eval mode; we read the weights, not timm.

    Raises:
        ValueError: The weights are not exactly the net's, not float32, or not finite.
    """
    config = read_object(folder / CONFIG)
    net = net_of_config(config)
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is not a whole safetensors file ({error})") from error
    check_fit(net, tensors)
    for key, value in tensors.items():
        if value.dtype != torch.float32:
            raise ValueError(f"{folder / WEIGHTS}: {key} is {value.dtype}; published weights are torch.float32")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{folder / WEIGHTS}: {key} holds NaN or infinity")
    net.load_state_dict(tensors)
    return net


def loads_in_timm(net: VGG, architecture: str) -> bool:
    """Whether timm's own net of the same configuration has the same tensors; this is false for small nets."""
    theirs = TIMM_NAMES.get(architecture)
    if theirs is None:
        return False
    model: Any = timm.create_model(theirs, num_classes=net.num_classes, in_chans=net.in_chans, device="meta")
    shapes, own = ({key: value.shape for key, value in it.state_dict().items()} for it in (model, net))
    return shapes == own
