"""Initial weights (Sect. 3.1): N(0, σ²), Glorot, and pre-initialisation from net A."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vgg_zoo.configurations import FC_KEYS, Configuration, configuration

METHODS = ("glorot", "normal")

# Sect. 3.1: "we initialised the first four convolutional layers and the last three fully-connected layers with the
# layers of net A". Net A's first four convs have the same stage and position in the deeper nets.
PRE_INITIALISED = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", *FC_KEYS)


@torch.no_grad()
def initialise(model: nn.Module, method: str = "glorot", std: float = 0.01) -> None:
    """Initialise the weights of every conv and FC layer in place; the biases become zero (Sect. 3.1).

    Args:
        model: Any net; layers other than `nn.Conv2d` and `nn.Linear` do not change.
        method: "glorot" is Glorot & Bengio's uniform distribution, which the paper found to work without pre-training;
            "normal" is N(0, std²).
        std: σ of "normal". The paper writes "zero mean and 10⁻² variance". Read literally, this is std=0.1 and gives
            losses of 1e8 and more; it must mean 0.01 (docs/paper_map.md).

    Raises:
        ValueError: The method is unknown, or std is not above zero.
    """
    if method not in METHODS:
        raise ValueError(f"unknown initialisation {method!r}; choose from {', '.join(METHODS)}")
    if not std > 0:
        raise ValueError(f"std is the standard deviation of the initial weights and must be above 0; got {std}")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if method == "glorot":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def initialise_from(model: nn.Module, net_a: nn.Module | Mapping[str, Tensor]) -> list[str]:
    """Pre-initialise a deeper net from a trained net A, in place (Sect. 3.1).

    This copies net A's first four conv layers and its three FC layers; every other layer keeps its random weights. No
    layer gets a smaller learning rate: the paper allows "them to change during learning".

    Args:
        model: A net of the zoo whose layers of the same names have net A's shapes: B, C, D or E.
        net_a: The trained net A (`vgg_a`, or timm's `vgg11`), or its state dict.

    Returns:
        The paper's names of the copied layers.

    Raises:
        ValueError: `net_a` lacks one of these layers, or a layer of `model` has another shape. Then nothing is copied.
    """
    net = getattr(model, "configuration", None)
    if not isinstance(net, Configuration):
        raise ValueError(f"initialise_from takes a net of the zoo (vgg_b, vgg_c, ...), not a {type(model).__name__}")
    source = net_a.state_dict() if isinstance(net_a, nn.Module) else net_a
    own = model.state_dict()
    own_keys, a_keys = net.layer_keys(), configuration("A").layer_keys()
    copies, misfits = [], []
    for layer in PRE_INITIALISED:
        for kind in ("weight", "bias"):
            target = own.get(f"{own_keys.get(layer)}.{kind}")
            value = source.get(f"{a_keys[layer]}.{kind}")
            if target is None or value is None or target.shape != value.shape:
                misfits.append(f"{layer}.{kind} is {_shape(value)} in net A and {_shape(target)} here")
            else:
                copies.append((target, value))
    if misfits:
        raise ValueError(
            f"configuration {net.name} cannot be pre-initialised from this net A: "
            + "; ".join(misfits)
            + ". Both nets need the same classes, width and head, and net A's kernels; B, C, D and E have them."
        )
    for target, value in copies:
        target.copy_(value)
    return list(PRE_INITIALISED)


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "×".join(map(str, tensor.shape))
