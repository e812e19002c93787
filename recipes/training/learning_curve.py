"""The course of a training as a picture: loss, errors beside the paper's, and when the learning rate changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from vgg_zoo.style import SMALL, WIDTH, Theme, spread, title, width_of

_LINE = 1.3 * SMALL
"""Points from one line of a label to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Error:
    """An error of the validation.

    Attributes:
        column: Of metrics.csv.
        name: In words.
        paper: The paper's, in percent, and of which test; None where it has none of this net on these images.
    """

    column: str
    name: str
    paper: tuple[float, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """What is drawn.

    Attributes:
        title: Above it.
        loss: What is minimised, in words.
        protocol: Of the validation.
        errors: At least one.
        rows: Of metrics.csv, at least one.
    """

    title: str
    loss: str
    protocol: str
    errors: Sequence[Error]
    rows: Sequence[Mapping[str, Any]]

    def draw(self, figure: Any, theme: Theme) -> None:
        """The loss at the left, the errors at the right; what a line is stands at its end."""
        figure.set_size_inches(WIDTH, 3.2)
        figure.set_layout_engine("constrained", wspace=0.05)
        title(figure, self.title)
        loss, errors = figure.subplots(1, 2)
        loss.set_title(f"training loss, {self.loss}", pad=20)
        errors.set_title(f"validation error, {self.protocol}, %", pad=20)
        values = [row["training_loss"] for row in self.rows]
        labels = [self._line(loss, values, f"{values[-1]:.3g}", theme.ink)], self._errors(errors, theme)
        for panel, of_panel in zip((loss, errors), labels, strict=True):
            self._epochs(panel)
            panel.set_ylim(0, 1.06 * max(max(line.get_ydata()) for line in panel.lines) or 1)
            _beside(panel, of_panel)
        self._rates(loss, errors, theme)

    def _line(self, panel: Any, values: Sequence[float], name: str, colour: str) -> "_Label":
        epochs = [row["epoch"] for row in self.rows]
        panel.plot(epochs, values, color=colour, marker="o" if len(epochs) <= 20 else "", markersize=3.5)
        return _Label(values[-1], name, colour)

    def _errors(self, panel: Any, theme: Theme) -> list["_Label"]:
        found = []
        for error, colour in zip(self.errors, theme.series, strict=False):
            values = [100 * row[error.column] for row in self.rows]
            best, name = min(values), f"{error.name} {values[-1]:.1f}"
            if best < values[-1]:
                epoch = self.rows[values.index(best)]["epoch"]
                ring = {"markersize": 7, "markerfacecolor": theme.ground, "zorder": 3, "clip_on": False}
                panel.plot([epoch], [best], "o", color=colour, **ring)
                name += f"\nbest {best:.1f}, epoch {epoch}"
            found.append(self._line(panel, values, name, colour))
            if error.paper:
                panel.axhline(error.paper[0], color=colour, linewidth=1, linestyle=(0, (4, 3)))
                found.append(_Label(error.paper[0], f"the paper's, {error.paper[1]} {error.paper[0]:.1f}", colour))
        return found

    def _epochs(self, panel: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        first, last = self.rows[0]["epoch"], self.rows[-1]["epoch"]
        beside = min(0.5, 0.03 * (last - first)) or 0.5  # less than an epoch: there is none before the first
        panel.set(xlim=(first - beside, last + beside), xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        panel.grid(axis="y")
        panel.spines["left"].set_visible(False)
        panel.tick_params(axis="y", length=0)

    def _rates(self, loss: Any, errors: Any, theme: Theme) -> None:
        """A line where the learning rate changed, and above the loss what it is, as far as there is room for that."""
        left, right = loss.get_xlim()
        starts = [(next(of_rate)["epoch"] - 0.5, rate) for rate, of_rate in groupby(self.rows, _rate)]
        starts[0] = left, starts[0][1]
        loss.figure.draw_without_rendering()
        inches = loss.bbox.width / loss.figure.dpi / (right - left)
        for number, ((start, rate), (end, _)) in enumerate(zip(starts, [*starts[1:], (right, 0)], strict=True)):
            if number:
                for panel in (loss, errors):
                    panel.axvline(start, color=theme.other, linewidth=0.8, zorder=1)
            texts = [f"{rate:g}"] if number else [f"learning rate {rate:g}", f"{rate:g}"]
            for text in [text for text in texts if width_of(text, SMALL) + 0.06 < (end - start) * inches][:1]:
                place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
                loss.annotate(text, (start, 1), (3, 3), **place, fontsize=SMALL, color=theme.quiet)


class _Label(NamedTuple):
    at: float
    text: str
    colour: str


def _beside(panel: Any, labels: Sequence[_Label]) -> None:
    """At the right of a panel, at the height of what they name, but for none to cover another."""
    panel.figure.draw_without_rendering()  # lays the panels out
    bottom, top = panel.get_ylim()
    a_point = (top - bottom) / (72 * panel.bbox.height / panel.figure.dpi)
    heights = [a_point * _LINE * len(label.text.splitlines()) for label in labels]
    for label, middle in zip(labels, spread([label.at for label in labels], heights, top), strict=True):
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
        style = {"va": "center", "fontsize": SMALL, "color": label.colour}
        panel.annotate(label.text, (1, middle), (4, 0), **place, **style)


def _rate(row: Mapping[str, Any]) -> float:
    return float(row["learning_rate"])
