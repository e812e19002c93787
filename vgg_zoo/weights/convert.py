"""Converting weights of a VGG, from any of the published formats, to a folder for timm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from vgg_zoo.configurations import FC_KEYS, NAMES, TABLE_1
from vgg_zoo.initialisation import initialise
from vgg_zoo.model import VGG, check_channels
from vgg_zoo.weights.fit import check_fit, fitting_configurations
from vgg_zoo.weights.folder import WEIGHTS, save_folder
from vgg_zoo.weights.layout import arguments_of, is_trunk, net_of, own_layers
from vgg_zoo.weights.read import SourceInfo, read_weights
from vgg_zoo.weights.state_dict import FC_REDUCED, from_torchvision, is_torchvision

Channels = Sequence[float]

_WAY_OUT = "keep the convolutions, give them new, random FC layers with --random-head CLASSES"


def convert(
    source: Path,
    folder: Path,
    *,
    net: str | None = None,
    order: str | None = None,
    mean: Channels | None = None,
    deviation: Channels | None = None,
    tag: str | None = None,
    licence: str | None = None,
    class_names: Sequence[str] | None = None,
    random_head: int | None = None,
    overwrite: bool = False,
) -> str:
    """Read weights, find their net, and write a folder for timm; nothing is written unless everything fits.

    Args:
        source: The file.
        folder: The folder; it is created if it is missing.
        net: timm's name of the net, needed if the weights are ambiguous: net A-LRN has those of A.
        order: "rgb" or "bgr", of the file's first convolution; None takes the file's, or the default of its kind.
        mean: Mean of the training images, RGB in 0–255; None as for `order`.
        deviation: Divisor of pixels minus the mean, in 0–255; None as for `order`.
        tag: Name of these weights; by default the kind of file.
        licence: Licence of these weights; None leaves it out.
        class_names: Names in the order of the net's outputs; by default those of the file, if it has one for each.
        random_head: Outputs of new FC layers, for a file without FC layers, with other FC layers, or with NaN in them.
        overwrite: Replace existing weights in the folder.

    Returns:
        Sentences that say what was found and written, what input the net takes, and how that is known.

    Raises:
        ValueError: Something is wrong with the file, its net or these arguments.
        ImportError: h5py or SciPy, which some kinds of file need, is not installed.
    """
    if (folder / WEIGHTS).exists() and not overwrite:
        raise ValueError(f"{folder} already has weights; name another folder, or replace them with --overwrite")
    tensors, info = read_weights(source, order)
    try:
        model = net_with(tensors, net, random_head)
    except ValueError as error:
        raise ValueError(f"{source} ({info.kind}): {error}") from error
    info = _settled(info, mean, deviation)
    class_names = _checked_names(model, info, class_names, random_head)
    head = "" if random_head is None else f", FC layers random{_left_out(tensors)}"
    taken = _taken(info, model.in_chans, class_names)
    save_folder(
        model,
        folder,
        tag=tag or info.tag,
        licence=licence,
        mean=info.mean,
        deviation=info.deviation,
        input_size=_crop(model),
        crop_pct=0.875,
        class_names=class_names,
        description=f"converted from {source.name} ({info.kind}){head}. {taken}",
    )
    return _sentence(source, info, model, folder, head, taken)


def net_with(tensors: Mapping[str, Tensor], net: str | None = None, random_head: int | None = None) -> VGG:
    """The net for some weights, which it holds.

    Args:
        tensors: float32 tensors in timm's or torchvision's layout. They become the net's own, without a copy.
        net: timm's name of the net; None finds it by the shapes.
        random_head: Outputs of random FC layers, the same in every call; only the convolutions of `tensors` are used.

    Raises:
        ValueError: They fit no net (the message has the first differences), have no FC layers or other FC layers than
            the paper's, or contain infinities or NaN.
    """
    if random_head is not None:
        tensors = _convolutions(tensors)
    else:
        _check_head(tensors)
    if net is not None and net not in NAMES:
        raise ValueError(f"unknown net {net!r}; the zoo has {', '.join(NAMES)}")
    configuration = TABLE_1[NAMES[net] if net else net_of(tensors)]
    arguments = arguments_of(tensors, configuration)
    if random_head is not None:
        arguments["num_classes"] = random_head
    name = net or next(name for name, paper in NAMES.items() if paper == configuration.name)
    model = timm.create_model(name, **arguments, device="meta")
    assert isinstance(model, VGG)
    if is_torchvision(tensors):
        tensors = from_torchvision(tensors, model)
    head = [key for key in model.state_dict() if key.rpartition(".")[0] in FC_KEYS.values()]
    try:
        check_fit(model, tensors, optional=head if random_head is not None else ())
    except ValueError as error:
        if random_head is None and _fits(model, _convolutions(tensors), head):
            raise ValueError(f"{error} To {_WAY_OUT}.") from error
        raise
    _check_finite(tensors)
    if random_head is not None:
        tensors = {**_random(name, arguments, head), **tensors}
    model.load_state_dict(tensors, assign=True)
    return model


def _fits(model: VGG, tensors: Mapping[str, Tensor], optional: list[str]) -> bool:
    try:
        check_fit(model, tensors, optional)
    except ValueError:
        return False
    return True


def _convolutions(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if key.startswith("features.")}


def _check_head(tensors: Mapping[str, Tensor]) -> None:
    """Refuse missing FC layers and those that are not the paper's; `check_fit` checks the convolutions."""
    own = own_layers(tensors)
    if FC_REDUCED["fc6"] in own:
        raise ValueError(
            "its FC layers are DeepLab's and SSD's fc_reduced: fc6 has 1024 outputs and a kernel of 3×3, dilated by 6, "
            f"after a pool5 of 3×3 with stride 1. timm's VGG has no such layers; to {_WAY_OUT}"
        )
    if not is_trunk(tensors) or not fitting_configurations(tensors):
        return
    if own:
        shown = _first([f"{name} ({shape})" for name, shape in own.items()])
        raise ValueError(f"after the convolutions it has its own layers, not the paper's: {shown}. To {_WAY_OUT}")
    raise ValueError(
        "it has only convolutions and no FC layers. timm's VGG always has FC layers; give it new, random "
        "ones with --random-head CLASSES, or take the file with its top"
    )


def _left_out(tensors: Mapping[str, Tensor]) -> str:
    own = list(own_layers(tensors))
    return f", left out: {_first(own)}" if own else ""


def _first(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _random(name: str, arguments: dict[str, Any], keys: list[str]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(name, **arguments)
        initialise(model)
    return {key: value for key, value in model.state_dict().items() if key in keys}


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    wrong = [
        key
        for key, value in tensors.items()
        if not torch.stack(value.aminmax()).isfinite().all()  # needs no memory, unlike value.isfinite()
    ]
    if wrong:
        trunk_only = all(not key.startswith("features.") for key in wrong)
        way_out = f"to {_WAY_OUT}" if trunk_only else "download the file again"
        raise ValueError(f"not finite: {', '.join(wrong[:4])}; {way_out}")


def _settled(info: SourceInfo, mean: Channels | None, deviation: Channels | None) -> SourceInfo:
    """What is known about the file, with the given mean and deviation."""
    given = [name for name, value in (("mean", mean), ("deviation", deviation)) if value]
    return replace(
        info,
        mean=tuple(mean or info.mean),
        deviation=tuple(deviation or info.deviation),
        reasons={**info.reasons, **dict.fromkeys(given, "as given")},
    )


def _taken(info: SourceInfo, channels: int, class_names: Sequence[str] | None) -> str:
    """The net's input and how it is known; and a note if the file's class names are ignored."""

    def why(name: str) -> str:
        return info.reasons.get(name, "assumed")

    mean, deviation = (" ".join(f"{value:g}" for value in values) for values in (info.mean, info.deviation))
    turned = " turned to RGB" if info.order == "bgr" else ""
    order = f"colours {info.order.upper()}{turned} ({why('order')}), " if channels == 3 else ""
    names = (
        f" The file's {len(info.class_names)} class names are left out." if info.class_names and not class_names else ""
    )
    return f"Input: {order}mean {mean} ({why('mean')}), deviation {deviation} ({why('deviation')}).{names}"


def _crop(model: VGG) -> tuple[int, int, int]:
    side = 32 * model.pre_logits.input_kernel_size
    return model.in_chans, side, side


def _checked_names(
    model: VGG, info: SourceInfo, given: Sequence[str] | None, random_head: int | None
) -> Sequence[str] | None:
    """The given class names, or those of the file if they fit; the arguments for the input are checked too."""
    check_channels(model)
    for option, values in (("--mean", info.mean), ("--std", info.deviation)):
        if len(values) != model.in_chans:
            raise ValueError(f"the net takes {model.in_chans} channels and {option} has {len(values)} numbers")
    if not all(value > 0 for value in info.deviation):
        raise ValueError(f"--std must be above 0; got {info.deviation}")
    if given is not None and len(given) != model.num_classes:
        raise ValueError(f"{len(given)} class names for a net with {model.num_classes} outputs")
    usable = random_head is None and len(info.class_names) == model.num_classes
    return info.class_names if given is None and usable and info.class_names else given


def _sentence(source: Path, info: SourceInfo, model: VGG, folder: Path, head: str, taken: str) -> str:
    name = str(model.pretrained_cfg["architecture"])
    head = (f"{model.num_classes} outputs" if model.num_classes else "no last layer") + head
    doubt = "; net A-LRN has the same weights (--architecture vgg_a_lrn)" if name == "vgg_a" else ""
    return (
        f"{source} ({info.kind}) is net {model.configuration.name} of Table 1 with {head}{doubt}.\n{taken}\n"
        f'Written to {folder}: timm.create_model("local-dir:{folder}", pretrained=True) after `import vgg_zoo`.'
    )
