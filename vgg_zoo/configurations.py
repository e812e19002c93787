"""Table 1 of the paper as data, and counts that need no net.

A configuration is one row of `TABLE_1`: the column of the paper's table from top to bottom, in the paper's own words. A
new net needs one row here and one entrypoint in `entrypoints.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

STAGES = 5
"""Max-pools in every net (Sect. 2.1); the trunk's output has a stride of `STRIDE` pixels."""

STRIDE = 2**STAGES

IMAGENET_MEAN = (123.68, 116.779, 103.939)
"""The mean RGB of the ILSVRC training set in 0–255, which is subtracted from the images of every net (Sect. 2.1)."""

REGRESSIONS = ("pcr", "scr")
"""The two kinds of box regression (Appendix A): per-class, a box for each class; single-class, one box that all classes
share."""

_POOL = "maxpool"
_LAYER = re.compile(r"conv(?P<kernel>[1-9]\d*)-(?P<channels>[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of Table 1.

    Attributes:
        kind: "conv" (followed by a ReLU), "LRN" or "maxpool".
        name: The paper's name, counted by stage: "conv3_2", "lrn1", "pool5".
        kernel: Side of a convolution's receptive field in pixels; 0 for other kinds.
        channels: Output channels of a convolution; 0 for other kinds.
    """

    kind: Literal["conv", "LRN", "maxpool"]
    name: str
    kernel: int = 0
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """One column of Table 1, the convolutional trunk. The three FC layers are the same in all nets.

    Args:
        name: The paper's name of the net, for example "A-LRN".
        column: The layers as Table 1 writes them: "conv3-64", "LRN", "maxpool".

    Raises:
        ValueError: A layer is not in Table 1's notation, or there are not five max-pools.
    """

    name: str
    column: tuple[str, ...]

    def __post_init__(self) -> None:
        layers = list(self.layers())
        pools = sum(layer.kind == "maxpool" for layer in layers)
        if pools != STAGES or layers[-1].kind != "maxpool":
            raise ValueError(
                f"configuration {self.name!r} has {pools} max-pools and ends with {self.column[-1]!r}; "
                f"a trunk of Table 1 has {STAGES} of them and ends with one"
            )

    def layers(self) -> Iterator[Layer]:
        """The layers in order, named as the paper names them."""
        stage, place = 1, 0
        for entry in self.column:
            if entry == _POOL:
                yield Layer("maxpool", f"pool{stage}")
                stage, place = stage + 1, 0
            elif entry == "LRN":
                yield Layer("LRN", f"lrn{stage}")
            elif match := _LAYER.fullmatch(entry):
                place += 1
                yield Layer("conv", f"conv{stage}_{place}", int(match["kernel"]), int(match["channels"]))
            else:
                raise ValueError(
                    f"configuration {self.name!r}: unknown layer {entry!r}; "
                    'write "conv<receptive field>-<channels>", "LRN" or "maxpool"'
                )

    @property
    def weight_layers(self) -> int:
        """Number of layers with weights, including the three FC layers: 11 for net A to 19 for net E (Sect. 2.2)."""
        return sum(layer.kind == "conv" for layer in self.layers()) + 3

    def layer_keys(self) -> dict[str, str]:
        """The paper's layer names → prefixes of the state dict, in order: {"conv1_1": "features.0", ..., "fc8": ...}.

        The layout is timm's (and torchvision's): in `features` every conv is followed by its ReLU. An LRN shares the
        index of the ReLU before it, so A-LRN has the same keys as net A.
        """
        keys, index = {}, 0
        for layer in self.layers():
            if layer.kind == "conv":
                keys[layer.name] = f"features.{index}"
            index += {"conv": 2, "LRN": 0, "maxpool": 1}[layer.kind]
        return keys | FC_KEYS

    def multiply_adds(self, image_size: int = 224, classes: int = 1000) -> int:
        """Number of multiply-adds in one forward pass at full width on one square image.

        Args:
            image_size: Side of the image in pixels, at least 224.
            classes: Outputs of the last FC layer.
        """
        side, channels, total = image_size, 3, 0
        for layer in self.layers():
            if layer.kind == "maxpool":
                side //= 2
            elif layer.kind == "conv":
                total += side**2 * layer.kernel**2 * channels * layer.channels
                channels = layer.channels
        cells = (side - 6) ** 2
        return total + cells * (49 * channels * 4096 + 4096**2) + 4096 * classes


FC_KEYS = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
"""The three FC layers: the names in Oxford's files, and timm's keys."""


TABLE_1: dict[str, Configuration] = {
    name: Configuration(name, tuple(column.replace("|", _POOL).split()))
    for name, column in {
        "A": "conv3-64 | conv3-128 | conv3-256 conv3-256 | conv3-512 conv3-512 | conv3-512 conv3-512 |",
        "A-LRN": "conv3-64 LRN | conv3-128 | conv3-256 conv3-256 | conv3-512 conv3-512 | conv3-512 conv3-512 |",
        "B": (
            "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 | "
            "conv3-512 conv3-512 | conv3-512 conv3-512 |"
        ),
        # Not a column of Table 1. Sect. 4.1 derives it from B by replacing each pair of 3×3 convs by one 5×5 conv.
        "shallow B": "conv5-64 | conv5-128 | conv5-256 | conv5-512 | conv5-512 |",
        "C": (
            "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv1-256 | "
            "conv3-512 conv3-512 conv1-512 | conv3-512 conv3-512 conv1-512 |"
        ),
        "D": (
            "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv3-256 | "
            "conv3-512 conv3-512 conv3-512 | conv3-512 conv3-512 conv3-512 |"
        ),
        "E": (
            "conv3-64 conv3-64 | conv3-128 conv3-128 | conv3-256 conv3-256 conv3-256 conv3-256 | "
            "conv3-512 conv3-512 conv3-512 conv3-512 | conv3-512 conv3-512 conv3-512 conv3-512 |"
        ),
    }.items()
}
"""The nets by the paper's names; each | is a max-pool, which ends a stage."""

NAMES = {
    "vgg_a": "A",
    "vgg_a_lrn": "A-LRN",
    "vgg_b": "B",
    "vgg_b_shallow": "shallow B",
    "vgg_c": "C",
    "vgg_d": "D",
    "vgg_e": "E",
}
"""timm's names of the nets, and the paper's."""


def configuration(name: str) -> Configuration:
    """Look a configuration up by the paper's name.

    Raises:
        ValueError: No such configuration; the message lists them.
    """
    if name not in TABLE_1:
        raise ValueError(f"unknown configuration {name!r}; Table 1 has {', '.join(TABLE_1)}")
    return TABLE_1[name]
