"""Tables 3–6 of the paper as data: errors on ILSVRC-2012's 50,000 validation images, in percent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JITTERED = (256, 512)

ILSVRC = (1000, 50_000)
"""Classes and images of the validation set that the figures are of."""


@dataclass(frozen=True, slots=True)
class PaperNet:
    """A net as it was tested: configuration, S (one number, or the ends of a range), Q, and protocol."""

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
"""Table 3 (one Q), 4 (three), 5 (protocols) and 6 (fusions); a row stands here once, in whatever tables it is."""


def paper_result(nets: Sequence[PaperNet]) -> PaperResult | None:
    """The paper's row of the same nets, S, Q and protocols, in any order; None where it has none."""
    wanted = sorted(map(repr, nets))
    return next((row for row in PAPER if sorted(map(repr, row.nets)) == wanted), None)
