"""Checking that a state dict fits a net, before anything is loaded."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from vgg_zoo.configurations import TABLE_1, Configuration

_SHOWN = 4


def check_fit(
    model: nn.Module, state_dict: Mapping[str, Tensor], optional: Iterable[str] = (), any_shape: Iterable[str] = ()
) -> None:
    """Refuse a state dict with missing, unexpected or misshapen tensors, before any of it is loaded.

    Args:
        model: A net of the zoo.
        state_dict: A state dict in timm's layout.
        optional: Keys that may be missing, unexpected or of another shape (the classifier of another data set).
        any_shape: Keys that must be present but may have another shape (a first conv with other channels).

    Raises:
        ValueError: It does not fit; the message names the tensors with both shapes, and the configurations that fit.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state_dict.items()}
    optional, any_shape = set(optional), set(any_shape)
    missing = [key for key in own if key not in given and key not in optional]
    unexpected = [key for key in given if key not in own and key not in optional]
    misshapen = [
        f"{key} is {_by(given[key])} in the file and {_by(own[key])} in the net"
        for key in own
        if key in given and given[key] != own[key] and key not in optional | any_shape
    ]
    faults = [
        f"{what}: {_first(keys)}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if keys
    ]
    if faults:
        net = model.configuration
        assert isinstance(net, Configuration)
        fitting = fitting_configurations(state_dict)
        hint = f"configuration {' or '.join(fitting)}" if fitting else "no configuration of Table 1"
        raise ValueError(
            f"the weights do not fit configuration {net.name}: {'; '.join(faults)}. "
            f"Nothing was loaded. Their convolutions fit {hint}."
        )


def fitting_configurations(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Names of the configurations whose convolutions, at any width, have the same keys and kernels."""
    kernels = {
        key.removesuffix(".weight"): value.shape[-1]
        for key, value in state_dict.items()
        if key.startswith("features.") and key.endswith(".weight") and value.ndim == 4
    }
    extra = any(key.startswith("features.") and key.rpartition(".")[0] not in kernels for key in state_dict)
    return [] if extra else [name for name, net in TABLE_1.items() if _kernels(net) == kernels]


def _kernels(net: Configuration) -> dict[str, int]:
    keys = net.layer_keys()
    return {keys[layer.name]: layer.kernel for layer in net.layers() if layer.kind == "conv"}


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _first(items: list[str]) -> str:
    rest = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + rest
