"""Tables 3–6 of the paper as data: errors on ILSVRC-2012's 50,000 validation images, in percent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JITTERED = (256, 512)

ILSVRC = (1000, 50_000)
"""Number of classes and images of the validation set for these figures."""


@dataclass(frozen=True, slots=True)
class PaperNet:
    """A tested net: configuration, S (one number, or the ends of a range), Q, and protocol."""

    configuration: str
    train_scales: tuple[int, ...]
    scales: tuple[int, ...]
    protocol: str = "dense"

    @classmethod
    def described(cls, net: Mapping[str, Any]) -> "PaperNet":
        """The net of an evaluation's results.json in the paper's terms.

        Raises:
            KeyError, TypeError: Something else.
        """
        return cls(
            str(net["configuration"]), tuple(net["train_scales"] or ()), tuple(sorted(net["scales"])), net["protocol"]
        )


@dataclass(frozen=True, slots=True)
class PaperResult:
    """One row: the nets whose posteriors are averaged, and their top-1 and top-5 error in percent."""

    nets: tuple[PaperNet, ...]
    top1: float
    top5: float


def _rows(text: str) -> list[tuple[PaperNet, float, float]]:
    """Lines of: net, S or S_min-S_max, Q's, protocol, top-1, top-5."""
    found = []
    for line in text.strip().splitlines():
        name, trained, scales, protocol, top1, top5 = line.split()
        net = PaperNet(name, tuple(map(int, trained.split("-"))), tuple(map(int, scales.split(","))), protocol)
        found.append((net, float(top1), float(top5)))
    return found


_ONE_NET = _rows("""
A      256      256          dense                 29.6  10.4
A-LRN  256      256          dense                 29.7  10.5
B      256      256          dense                 28.7   9.9
C      256      256          dense                 28.1   9.4
C      384      384          dense                 28.1   9.3
C      256-512  384          dense                 27.3   8.8
D      256      256          dense                 27.0   8.8
D      384      384          dense                 26.8   8.7
D      256-512  384          dense                 25.6   8.1
E      256      256          dense                 27.3   9.0
E      384      384          dense                 26.9   8.7
E      256-512  384          dense                 25.5   8.0
B      256      224,256,288  dense                 28.2   9.6
C      256      224,256,288  dense                 27.7   9.2
C      384      352,384,416  dense                 27.8   9.2
C      256-512  256,384,512  dense                 26.3   8.2
D      256      224,256,288  dense                 26.6   8.6
D      384      352,384,416  dense                 26.5   8.6
D      256-512  256,384,512  dense                 24.8   7.5
E      256      224,256,288  dense                 26.9   8.7
E      384      352,384,416  dense                 26.7   8.6
E      256-512  256,384,512  dense                 24.8   7.5
D      256-512  256,384,512  multi_crop            24.6   7.5
E      256-512  256,384,512  multi_crop            24.6   7.4
D      256-512  256,384,512  multi_crop_and_dense  24.4   7.2
E      256-512  256,384,512  multi_crop_and_dense  24.4   7.1
""")


def _net(configuration: str, trained: tuple[int, ...], protocol: str = "dense") -> PaperNet:
    """The net at Table 4's test scales."""
    return next(
        net
        for net, _, _ in _ONE_NET
        if (net.configuration, net.train_scales, net.protocol) == (configuration, trained, protocol)
        and len(net.scales) == 3
    )


_SEVEN = [("D", (256,)), ("D", (384,)), ("D", JITTERED), ("C", (256,)), ("C", (384,)), ("E", (256,)), ("E", (384,))]

PAPER = (
    *(PaperResult((net,), top1, top5) for net, top1, top5 in _ONE_NET),
    PaperResult(tuple(_net(name, trained) for name, trained in _SEVEN), 24.7, 7.5),
    *(
        PaperResult((_net("D", JITTERED, protocol), _net("E", JITTERED, protocol)), top1, top5)
        for protocol, top1, top5 in (
            ("dense", 24.0, 7.1),
            ("multi_crop", 23.9, 7.2),
            ("multi_crop_and_dense", 23.7, 6.8),
        )
    ),
)
"""Table 3 (one Q), 4 (three), 5 (protocols) and 6 (fusions); a row of several tables is listed once."""


def paper_result(nets: Sequence[PaperNet]) -> PaperResult | None:
    """The paper's row of the same nets, S, Q and protocols, in any order; None if there is none."""
    wanted = sorted(map(repr, nets))
    return next((row for row in PAPER if sorted(map(repr, row.nets)) == wanted), None)


@dataclass(frozen=True, slots=True)
class PaperFeatures:
    """One figure: the nets whose descriptors are stacked, the data set, and the result of the SVM.

    Attributes:
        configurations: Configurations of the nets, in the order of Table 1.
        data_set: "voc2007", "voc2012", "caltech101", "caltech256" or "voc2012-action".
        figure: Mean AP for VOC, mean class recall for Caltech.
        deviation: Deviation of the figure over Caltech's three splits.
        with_box: For actions: the descriptor of the person's box is stacked on that of the whole image.
    """

    configurations: tuple[str, ...]
    data_set: str
    figure: float
    deviation: float | None = None
    with_box: bool = False


def _feature_rows(text: str) -> tuple[PaperFeatures, ...]:
    """Lines of: nets, then a figure for each data set, "figure+deviation" of Caltech."""
    found = []
    for line in text.strip().splitlines():
        nets, *figures = line.split()
        for data_set, written in zip(("voc2007", "voc2012", "caltech101", "caltech256"), figures, strict=True):
            figure, _, deviation = written.partition("+")
            about = (tuple(nets.split("&")), data_set, float(figure), float(deviation) if deviation else None)
            found.append(PaperFeatures(*about))
    return tuple(found)


PAPER_FEATURES = (
    *_feature_rows("""
D    89.3  89.0  91.8+1.0  85.0+0.2
E    89.3  89.0  92.3+0.5  85.1+0.3
D&E  89.7  89.3  92.7+0.5  86.2+0.3
"""),
    PaperFeatures(("D", "E"), "voc2012-action", 79.2),
    PaperFeatures(("D", "E"), "voc2012-action", 84.0, with_box=True),
)
"""Table 11 (classification) and Table 12 (actions)."""


def paper_features(data_set: str, with_box: bool = False) -> tuple[PaperFeatures, ...]:
    """The paper's figures for a data set; empty if there are none."""
    return tuple(row for row in PAPER_FEATURES if (row.data_set, row.with_box) == (data_set, with_box))


def paper_figure(data_set: str, configurations: Iterable[str | None], with_box: bool = False) -> PaperFeatures | None:
    """The paper's figure for the same nets on a data set; None if there is none."""
    wanted = sorted(map(str, configurations))
    rows = paper_features(data_set, with_box)
    return next((row for row in rows if sorted(row.configurations) == wanted), None)


@dataclass(frozen=True, slots=True)
class PaperBoxNet:
    """A tested net that predicts boxes: configuration, regression, trained layers, S and Q."""

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


def _box_net(train_scale: int, *scales: int, regression: str = "pcr", trainable: str = "all") -> PaperBoxNet:
    return PaperBoxNet("D", regression, trainable, (train_scale,), scales)


PAPER_BOXES = (
    # Table 8: true class, centre crop.
    PaperBoxResult((_box_net(384, 384, regression="scr", trainable="fc"),), 1, 36.4),
    PaperBoxResult((_box_net(384, 384, trainable="fc"),), 1, 34.3),
    PaperBoxResult((_box_net(384, 384),), 1, 33.1),
    # Table 9: dense, the classes of the paper's best classifiers.
    PaperBoxResult((_box_net(256, 256),), 2, 29.5),
    PaperBoxResult((_box_net(384, 384),), 2, 28.2),
    PaperBoxResult((_box_net(384, 352, 384),), 2, 27.5),
    PaperBoxResult((_box_net(256, 256), _box_net(384, 352, 384)), 2, 26.9),
)


def paper_box_result(nets: Sequence[PaperBoxNet], protocol: int) -> PaperBoxResult | None:
    """The paper's row of the same nets and protocol, in any order; None if there is none."""
    wanted = sorted(map(repr, nets))
    return next(
        (row for row in PAPER_BOXES if row.protocol == protocol and sorted(map(repr, row.nets)) == wanted), None
    )
