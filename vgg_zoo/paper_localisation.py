"""Tables 8 and 9 of the paper as data: localisation errors of net D on ILSVRC-2012's validation images, in percent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PaperBoxNet:
    """A net that predicts boxes, as it was tested: configuration, regression, trained layers, S and Q."""

    configuration: str
    regression: str
    trainable: str
    train_scales: tuple[int, ...]
    scales: tuple[int, ...]

    @classmethod
    def described(cls, net: Mapping[str, Any]) -> "PaperBoxNet":
        """The net of a results.json of recipes/localise.py in the paper's terms.

        Raises:
            KeyError, TypeError: Something else.
        """
        return cls(
            str(net["configuration"]),
            str(net["regression"]),
            str(net["trainable"] or "?"),
            tuple(net["train_scales"] or ()),
            tuple(sorted(net["scales"])),
        )


@dataclass(frozen=True, slots=True)
class PaperBoxResult:
    """One row: the nets whose boxes are merged, the testing protocol, and the error in percent."""

    nets: tuple[PaperBoxNet, ...]
    protocol: int
    error: float


def _net(train_scale: int, *scales: int, regression: str = "pcr", trainable: str = "all") -> PaperBoxNet:
    return PaperBoxNet("D", regression, trainable, (train_scale,), scales)


PAPER_BOXES = (
    # Table 8: true class, centre crop.
    PaperBoxResult((_net(384, 384, regression="scr", trainable="fc"),), 1, 36.4),
    PaperBoxResult((_net(384, 384, trainable="fc"),), 1, 34.3),
    PaperBoxResult((_net(384, 384),), 1, 33.1),
    # Table 9: dense, the classes of the paper's best classifiers.
    PaperBoxResult((_net(256, 256),), 2, 29.5),
    PaperBoxResult((_net(384, 384),), 2, 28.2),
    PaperBoxResult((_net(384, 352, 384),), 2, 27.5),
    PaperBoxResult((_net(256, 256), _net(384, 352, 384)), 2, 26.9),
)


def paper_box_result(nets: Sequence[PaperBoxNet], protocol: int) -> PaperBoxResult | None:
    """The paper's row of the same nets and protocol, in any order; None where it has none."""
    wanted = sorted(map(repr, nets))
    return next(
        (row for row in PAPER_BOXES if row.protocol == protocol and sorted(map(repr, row.nets)) == wanted), None
    )
