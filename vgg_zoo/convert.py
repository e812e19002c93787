"""`python -m vgg_zoo.convert SOURCE --to DIR`: a file of weights of any known format as a folder that timm loads.

    python -m vgg_zoo.convert VGG_ILSVRC_16_layers.caffemodel --to vgg_d_oxford
    timm.create_model("local-dir:vgg_d_oxford", pretrained=True)

SOURCE is a .caffemodel, Keras' .h5, MatConvNet's .mat, or a state dict of torchvision's or timm's (.pth, .safetensors).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from .configurations import TABLE_1, Configuration
from .entrypoints import default_cfgs
from .model import VGG
from .weights.fit import check_fit
from .weights.folder import save_folder
from .weights.read import Weights, read_weights


def net_of(weights: Weights, name: str | None = None) -> VGG:
    """The net that the weights are of, with them in it; widths and classes are read from the shapes.

    Args:
        weights: With all of their layers.
        name: "vgg_a", ..., "vgg_e"; None takes the first that the convolutions fit.

    Raises:
        ValueError: They are of another net, have no FC layers, or fit nothing.
    """
    fitting = [_entrypoint(net) for net in weights.nets]
    if name is not None and name not in fitting:
        raise ValueError(f"the weights are of {' or '.join(fitting)}, not of {name!r}")
    if not weights.has_head:
        raise ValueError(
            f"the file holds the trunk of {' or '.join(fitting)} without its FC layers, which make no net; convert a "
            "file with them (Keras: include_top=True)"
        )
    net: Any = timm.create_model(
        name or fitting[0], device="meta", **_arguments(TABLE_1[weights.nets[0]], weights.tensors)
    )
    check_fit(net, weights.tensors)
    net.load_state_dict(weights.tensors, assign=True)
    return net


def _entrypoint(configuration: str) -> str:
    """The name in timm's registry."""
    nets: dict[str, Any] = {name: timm.create_model(name, device="meta") for name in default_cfgs}
    return next(name for name, net in nets.items() if net.configuration.name == configuration)


def _arguments(net: Configuration, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of the net whose tensors have these shapes."""
    keys = net.layer_keys()
    widths = [
        (tensors[f"{keys[layer.name]}.weight"].shape[0], layer.channels)
        for layer in net.layers()
        if layer.kind == "conv"
    ]
    # Channels are rounded: any multiplier between these gives all of them, and 1 is in the middle for the paper's nets.
    least = max((width - 0.5) / channels for width, channels in widths)
    most = min((width + 0.5) / channels for width, channels in widths)
    hidden, _, side, _ = tensors["pre_logits.fc1.weight"].shape
    return {
        "width_multiplier": (least + most) / 2,
        "head_hidden_size": hidden,
        "head_kernel_size": side,
        "num_classes": tensors["head.fc.weight"].shape[0],
    }


def convert(
    source: Path,
    folder: Path,
    name: str | None = None,
    tag: str | None = None,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
) -> Weights:
    """Write timm's folder of a file of weights.

    Args:
        source: Of any format that `read_weights` knows.
        folder: Made if it is missing; must not hold a net.
        name: Of the net, where several fit.
        tag: Of the weights; None takes the format's name.
        mean: RGB in 0–255; None takes the format's.
        deviation: In 0–255; None takes the format's.
        class_names: In the order of the outputs.

    Raises:
        ValueError: The file is not read or fits no net, the folder is taken, or another count of names than of classes.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--to {folder} exists already; name a folder that does not, or an empty one")
    weights = read_weights(source)
    net = net_of(weights, name)
    if class_names is not None and len(class_names) != net.num_classes:
        raise ValueError(f"{len(class_names)} class names for a net of {net.num_classes} classes")
    side = 32 * int(net.pre_logits.input_kernel_size)
    save_folder(
        net,
        folder,
        tag=tag or weights.source.lower().replace(" ", "_"),
        licence=None,
        mean=mean or weights.mean,
        deviation=deviation or weights.deviation,
        input_size=(3, side, side),
        crop_pct=0.875,
        class_names=class_names,
        description=f"converted from {source.name}",
    )
    return weights


def main() -> None:
    """Convert, and say what was found; a mistake of the user ends in one line, not in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file of weights")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--net", help=f"one of {', '.join(default_cfgs)}, where several fit: vgg_a_lrn has vgg_a's tensors"
    )
    parser.add_argument("--tag", help="name of the weights; default: the format's")
    rgb = ("R", "G", "B")
    parser.add_argument(
        "--mean", type=float, nargs=3, metavar=rgb, help="in 0–255; default: as the format's nets take it"
    )
    parser.add_argument(
        "--std", type=float, nargs=3, metavar=rgb, help="in 0–255, what is left is divided by; likewise"
    )
    parser.add_argument("--class-names", type=Path, help="file with one name a line, in the order of the outputs")
    args = parser.parse_args()
    try:
        names = None
        if args.class_names is not None:
            names = [line.strip() for line in args.class_names.read_text().splitlines() if line.strip()]
        found = convert(args.source, args.to, args.net, args.tag, args.mean, args.std, names)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    net = args.net or _entrypoint(found.nets[0])
    others = f" ({' and '.join(found.nets)} have the same tensors; --net says which)" if len(found.nets) > 1 else ""
    print(
        f"{args.source} is a {found.source} file of {net}{others}; wrote {args.to}. Load it with "
        f"timm.create_model('local-dir:{args.to}', pretrained=True)"
    )


if __name__ == "__main__":
    main()
