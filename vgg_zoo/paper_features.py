"""Tables 11 and 12 of the paper as data: linear SVMs on the nets' descriptors (Appendix B), in percent."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PaperFeatures:
    """One figure: the nets whose descriptors are stacked, the data set, and what the SVM reaches on it.

    Attributes:
        configurations: Of the nets, in the order of Table 1.
        data_set: "voc2007", "voc2012", "caltech101", "caltech256" or "voc2012-action".
        figure: Mean AP of VOC, mean class recall of Caltech.
        deviation: Of the figure over Caltech's three splits.
        with_box: Of the actions: the descriptor of the person's box is stacked on that of the whole image.
    """

    configurations: tuple[str, ...]
    data_set: str
    figure: float
    deviation: float | None = None
    with_box: bool = False


def _rows(text: str) -> tuple[PaperFeatures, ...]:
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
    *_rows("""
D    89.3  89.0  91.8+1.0  85.0+0.2
E    89.3  89.0  92.3+0.5  85.1+0.3
D&E  89.7  89.3  92.7+0.5  86.2+0.3
"""),
    PaperFeatures(("D", "E"), "voc2012-action", 79.2),
    PaperFeatures(("D", "E"), "voc2012-action", 84.0, with_box=True),
)
"""Table 11 (classification) and Table 12 (actions)."""


def paper_features(data_set: str, with_box: bool = False) -> tuple[PaperFeatures, ...]:
    """The paper's figures of a data set; none of one that it does not have."""
    return tuple(row for row in PAPER_FEATURES if (row.data_set, row.with_box) == (data_set, with_box))


def paper_figure(data_set: str, configurations: Iterable[str | None], with_box: bool = False) -> PaperFeatures | None:
    """The paper's figure of the same nets on a data set; None where it has none."""
    wanted = sorted(map(str, configurations))
    rows = paper_features(data_set, with_box)
    return next((row for row in rows if sorted(row.configurations) == wanted), None)
