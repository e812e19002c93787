"""Weights of a VGG from any of the files in which they are published → timm's folder.

    python -m vgg_zoo.convert VGG_ILSVRC_16_layers.caffemodel --to vgg_d
    python -c 'import timm, vgg_zoo; timm.create_model("local-dir:vgg_d", pretrained=True)'

Reads Caffe's .caffemodel, Keras' .h5, MatConvNet's .mat, and state dicts of timm and torchvision (.safetensors, .pth,
.pt); which it is, and of which net of Table 1, is told by the content.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from .configurations import FC_KEYS, TABLE_1
from .entrypoints import default_cfgs
from .initialisation import initialise
from .model import VGG
from .weights.fit import check_fit
from .weights.folder import WEIGHTS, save_folder
from .weights.layout import arguments_of, is_trunk, net_of
from .weights.read import SourceInfo, read_weights
from .weights.torchvision import from_torchvision, is_torchvision

Channels = Sequence[float]


def convert(
    source: Path,
    folder: Path,
    *,
    net: str | None = None,
    mean: Channels | None = None,
    deviation: Channels | None = None,
    tag: str | None = None,
    licence: str | None = None,
    class_names: Sequence[str] | None = None,
    random_head: int | None = None,
    overwrite: bool = False,
) -> str:
    """Read weights, find their net, and write timm's folder; nothing is written unless all of it fits.

    Args:
        source: The file.
        folder: Made if it is missing.
        net: Its timm name, where the weights do not tell: net A-LRN has those of A.
        mean: Of the training images, RGB in 0–255; by default what is usual for the kind of file.
        deviation: What pixels minus the mean are divided by, in 0–255; likewise.
        tag: Name of these weights; by default the kind of file.
        licence: Of these weights; None leaves it out.
        class_names: In the order of the net's outputs.
        random_head: Outputs of new FC layers, for a file that has only convolutions (or whose FC layers are not a
            number). timm's nets have FC layers even with `num_classes=0`, so there is no folder without them.
        overwrite: Replace the weights that the folder holds.

    Returns:
        A sentence that says what was found and written.

    Raises:
        ValueError: What is wrong with the file, its net or these arguments.
        ImportError: h5py or SciPy, which some kinds of file need, is not installed.
    """
    if (folder / WEIGHTS).exists() and not overwrite:
        raise ValueError(f"{folder} holds weights already; name another folder, or replace them with --overwrite")
    tensors, info = read_weights(source)
    try:
        model = net_with(tensors, net, random_head)
    except ValueError as error:
        raise ValueError(f"{source} ({info.kind}): {error}") from error
    mean, deviation = mean or info.mean, deviation or info.deviation
    _check_settings(model, mean, deviation, class_names)
    side = 32 * model.pre_logits.input_kernel_size
    save_folder(
        model,
        folder,
        tag=tag or info.tag,
        licence=licence,
        mean=mean,
        deviation=deviation,
        input_size=(model.in_chans, side, side),
        crop_pct=0.875,
        class_names=class_names,
        description=f"converted from {source.name} ({info.kind})" + (", FC layers random" if random_head else ""),
    )
    return _sentence(source, info, model, folder, random_head)


def net_with(tensors: Mapping[str, Tensor], net: str | None = None, random_head: int | None = None) -> VGG:
    """The net that weights are of, holding them.

    Args:
        tensors: In timm's or torchvision's layout, float32. They become the net's own, without a copy.
        net: timm's name of it; None finds it by their shapes.
        random_head: Outputs of random FC layers, the same in every call; those of `tensors` are left out.

    Raises:
        ValueError: They fit no net (the message has the first differences), have no FC layers, or hold infinities
            or NaN.
    """
    if random_head is not None:
        tensors = {key: value for key, value in tensors.items() if is_trunk({key: value})}
    elif is_trunk(tensors):
        raise ValueError(
            "there are only convolutions in it, no FC layers. timm's VGG has them in every form; give it new, random "
            "ones with --random-head CLASSES, or take the file with its top"
        )
    names = _names()
    if net is not None and net not in names:
        raise ValueError(f"unknown net {net!r}; the zoo has {', '.join(names)}")
    configuration = TABLE_1[names[net] if net else net_of(tensors)]
    arguments = arguments_of(tensors, configuration)
    if random_head is not None:
        arguments["num_classes"] = random_head
    name = net or next(name for name, paper in names.items() if paper == configuration.name)
    model = timm.create_model(name, **arguments, device="meta")
    assert isinstance(model, VGG)
    if is_torchvision(tensors):
        tensors = from_torchvision(tensors, model)
    head = [key for key in model.state_dict() if key.rpartition(".")[0] in FC_KEYS.values()]
    check_fit(model, tensors, optional=head if random_head is not None else ())
    _check_finite(tensors)
    if random_head is not None:
        tensors = {**_random(name, arguments, head), **tensors}
    model.load_state_dict(tensors, assign=True)
    return model


def _names() -> dict[str, str]:
    """timm's names of the nets → the paper's."""
    found = {}
    for name in default_cfgs:
        net = timm.create_model(name, device="meta")
        assert isinstance(net, VGG)
        found[name] = net.configuration.name
    return found


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
        way_out = "keep the convolutions with --random-head CLASSES" if trunk_only else "fetch the file again"
        raise ValueError(f"not finite: {', '.join(wrong[:4])}; {way_out}")


def _check_settings(model: VGG, mean: Channels, deviation: Channels, class_names: Sequence[str] | None) -> None:
    for option, values in (("--mean", mean), ("--std", deviation)):
        if len(values) != model.in_chans:
            raise ValueError(f"the net takes {model.in_chans} channels and {option} has {len(values)} numbers")
    if not all(value > 0 for value in deviation):
        raise ValueError(f"--std must be above 0; got {deviation}")
    if class_names is not None and len(class_names) != model.num_classes:
        raise ValueError(f"{len(class_names)} class names for a net with {model.num_classes} outputs")


def _sentence(source: Path, info: SourceInfo, model: VGG, folder: Path, random_head: int | None) -> str:
    name = str(model.pretrained_cfg["architecture"])
    head = f"{model.num_classes} outputs" if model.num_classes else "no last layer"
    if random_head is not None:
        head += " from random FC layers"
    doubt = "; net A-LRN has the same weights (--net vgg_a_lrn)" if name == "vgg_a" else ""
    return (
        f"{source} ({info.kind}) is net {model.configuration.name} of Table 1 with {head}{doubt}.\n"
        f'Written to {folder}: timm.create_model("local-dir:{folder}", pretrained=True) after `import vgg_zoo`.'
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert one file; an error is one line, and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the file of weights")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for timm")
    parser.add_argument("--net", help="timm's name of the net, where its weights do not tell: vgg_a_lrn")
    parser.add_argument("--mean", type=float, nargs="+", metavar="X", help="RGB in 0–255, by default by kind of file")
    parser.add_argument("--std", type=float, nargs="+", metavar="X", help="in 0–255; 1 1 1 divides by nothing")
    parser.add_argument("--tag", help="name of these weights")
    parser.add_argument("--licence", help="of these weights")
    parser.add_argument("--class-names", type=Path, metavar="FILE", help="text file, one name a line")
    parser.add_argument("--random-head", type=int, metavar="CLASSES", help="new FC layers, for a file without top")
    parser.add_argument("--overwrite", action="store_true", help="replace the weights that DIR holds")
    args = parser.parse_args(arguments)
    if args.random_head is not None and args.random_head < 1:
        parser.error(f"--random-head must be at least 1; got {args.random_head}")
    try:
        names = args.class_names.read_text("utf-8").splitlines() if args.class_names else None
        print(
            convert(
                args.source,
                args.to,
                net=args.net,
                mean=args.mean,
                deviation=args.std,
                tag=args.tag,
                licence=args.licence,
                class_names=names,
                random_head=args.random_head,
                overwrite=args.overwrite,
            )
        )
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
