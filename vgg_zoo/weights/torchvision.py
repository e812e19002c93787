"""torchvision's VGG layout: the same trunk, and FC layers as `nn.Linear` under `classifier.{0,3,6}`."""

from collections.abc import Mapping

from torch import Tensor, nn

from ..configurations import FC_KEYS

CLASSIFIER = dict(zip(("classifier.0", "classifier.3", "classifier.6"), FC_KEYS.values(), strict=True))


def is_torchvision(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the keys are torchvision's rather than timm's."""
    return any(key.startswith("classifier.") for key in state_dict)


def from_torchvision(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename torchvision's keys to timm's, and shape its FC weights as the model's convolutions; values are unchanged.

    A weight that cannot take the model's shape is passed on as it is, for `check_fit` to name.
    """
    own = model.state_dict()
    renamed = {}
    for key, value in state_dict.items():
        prefix, _, kind = key.rpartition(".")
        key = f"{CLASSIFIER.get(prefix, prefix)}.{kind}"
        if key in own and value.numel() == own[key].numel() and value.shape[:1] == own[key].shape[:1]:
            value = value.reshape(own[key].shape)  # (4096, 512·7·7) → (4096, 512, 7, 7): both flatten C, then H, then W
        renamed[key] = value
    return renamed
