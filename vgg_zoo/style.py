"""How every picture looks: colours, sizes of text, a light and a dark ground; for matplotlib and Pillow alike.

The colours are Okabe and Ito's, which colour-blind readers tell apart: for each ground those that stand out from it by
a contrast of at least 3. matplotlib is an extra and slow to import, so it is imported when a figure is drawn.
"""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vgg_zoo.extras import install

WIDTH = 8.0
"""Of a figure in inches. A README shows it about 800 pixels wide, where a point of text has 1.4 pixels."""
DPI = 150
TITLE, TEXT, SMALL = 12.0, 9.0, 8.0
"""Points."""

HEAT = "magma"
"""matplotlib's colours for posteriors from 0 to 1. Their lightness rises, so that they can be read without colours."""
SHARES = {"cmap": "Blues", "vmin": 0.0, "vmax": 100.0}
"""Percentages in a matrix, likewise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """The colours of a figure.

    Attributes:
        ground: Behind everything.
        ink: Titles, names and numbers.
        quiet: What explains them.
        line: Grids and axes.
        other: Bars that others are compared with.
        series: Lines and bars, the first one first.
    """

    ground: str
    ink: str
    quiet: str
    line: str
    other: str
    series: tuple[str, ...]


LIGHT = Theme(
    ground="#ffffff",
    ink="#1f2328",
    quiet="#59636e",
    line="#d1d9e0",
    other="#818b98",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
)
DARK = Theme(
    ground="#0d1117",
    ink="#f0f6fc",
    quiet="#9198a1",
    line="#3d444d",
    other="#6e7681",
    series=("#56b4e9", "#e69f00", "#009e73", "#cc79a7"),
)
"""The grounds are GitHub's."""

THEMES = {"": LIGHT, "_dark": DARK}
"""By what is added to a file's name."""

ON_PHOTOS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
"""The palette's colours, for boxes that have a rim and for labels: there the photo does not matter."""


def contrast(one: str, other: str) -> float:
    """From 1 to 21, as WCAG 2 defines it, of two colours "#rrggbb"."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def text_on(colour: str) -> str:
    """Black or white, whichever can be read better on a colour."""
    return max("#000000", "#ffffff", key=lambda text: contrast(text, colour))


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """A class's name, else the first of its synonyms, else the beginning of that with an ellipsis.

    Args:
        name: "tabby, tabby cat", for example.
        fits: Whether there is room for a text.
    """
    return name if fits(name) else cut(name.split(",")[0].strip(), fits)


def cut(text: str, fits: Callable[[str], bool]) -> str:
    """A text, else as much of its beginning as fits with an ellipsis."""
    beginnings = (f"{text[:length].rstrip()}…" for length in range(len(text) - 1, 0, -1))
    return next(filter(fits, (text, *beginnings)), "…")


# ---- matplotlib

Draw = Callable[[Any, Theme], None]
"""Draws on an empty figure of matplotlib's, whose size it sets."""

_LOCK = threading.RLock()  # matplotlib's settings are those of the process


def png(draw: Draw, theme: Theme = LIGHT, dpi: int = DPI) -> bytes:
    """The picture that a function draws, whatever settings the user has for other figures.

    Args:
        draw: Called once, with a figure and the theme. Neither pyplot nor a window system is needed.
        theme: The colours.
        dpi: Pixels an inch.

    Raises:
        ImportError: matplotlib is missing.
    """
    check_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    written = io.BytesIO()
    settings: Any = rc(theme)  # typed by matplotlib as all names that its newest version has
    with _LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure = Figure()
        FigureCanvasAgg(figure)
        draw(figure, theme)
        figure.savefig(written, format="png", dpi=dpi)
    return written.getvalue()


def check_matplotlib() -> None:
    """Look before anything long begins.

    Raises:
        ImportError: It is missing; the message says how to install it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(f"drawing needs matplotlib: {install('plots')}", name="matplotlib") from error


def rc(theme: Theme) -> dict[str, Any]:
    """matplotlib's settings, where they are not its own."""
    return {
        "figure.facecolor": theme.ground,
        "figure.constrained_layout.h_pad": 0.08,
        "figure.constrained_layout.w_pad": 0.08,
        "figure.titlesize": TITLE,
        "figure.titleweight": "bold",
        "text.color": theme.ink,
        "text.parse_math": False,  # names of classes may have dollar signs
        "font.size": TEXT,
        "axes.facecolor": theme.ground,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.quiet,
        "axes.titlecolor": theme.quiet,
        "axes.titlelocation": "left",
        "axes.titlesize": TEXT,
        "axes.labelsize": TEXT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.8,
        **{f"{axis}tick.{name}": value for axis in "xy" for name, value in _ticks(theme).items()},
        "legend.frameon": False,
        "legend.fontsize": SMALL,
    }


def _ticks(theme: Theme) -> dict[str, Any]:
    return {"labelsize": SMALL, "color": theme.line, "labelcolor": theme.quiet}


def width_of(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """Inches that a line of text takes in a figure."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return (
        1.03 * float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72
    )  # hinting adds some


def fitted(name: str, width: float, size: float = TEXT, weight: str = "normal") -> str:
    """A name, `shortened` to so many inches."""
    return shortened(name, lambda text: width_of(text, size, weight) <= width)


def cut_to(text: str, width: float, size: float = TEXT, weight: str = "normal") -> str:
    """A text, `cut` to so many inches."""
    return cut(text, lambda text: width_of(text, size, weight) <= width)


def title(figure: Any, text: str) -> None:
    """At the figure's upper left corner; call it once the figure has its size."""
    figure.suptitle(cut_to(text, figure.get_figwidth() - 0.2, TITLE, "bold"), x=0.01, ha="left")


def footnote(figure: Any, text: str, theme: Theme) -> None:
    """Small print at the figure's lower left corner."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color=theme.quiet)


def spread(middles: Sequence[float], heights: Sequence[float], most: float) -> list[float]:
    """Where labels stand along an axis: moved as far as needed for none to overlap, in the same order.

    Args:
        middles: Where they should be, in any order.
        heights: Of the labels.
        most: They end at the most there, unless they need more room than from 0 to there.
    """
    order, found = sorted(range(len(middles)), key=lambda label: middles[label]), list(middles)
    end = float("-inf")
    for label in order:
        found[label] = max(found[label], end + heights[label] / 2)
        end = found[label] + heights[label] / 2
    end = max(most, sum(heights))
    for label in reversed(order):
        found[label] = min(found[label], end - heights[label] / 2)
        end = found[label] - heights[label] / 2
    return found


class Sheet:
    """A figure laid out in inches from its upper left corner.

    Args:
        figure: Takes this size.
        width: In inches.
        height: Likewise.
    """

    def __init__(self, figure: Any, width: float, height: float) -> None:
        self.figure, self.width, self.height = figure, width, height
        figure.set_size_inches(width, height)

    def axes(self, left: float, top: float, across: float, down: float) -> Any:
        """Axes of that size, with their upper left corner there."""
        return self.figure.add_axes((*self._place(left, top + down), across / self.width, down / self.height))

    def text(self, left: float, middle: float, text: str, **options: Any) -> None:
        """A line of text around that height."""
        self.figure.text(*self._place(left, middle), text, **{"va": "center", **options})

    def box(self, left: float, top: float, across: float, down: float, colour: str) -> None:
        """A filled rectangle."""
        from matplotlib.patches import Rectangle

        size = across / self.width, down / self.height
        self.figure.add_artist(
            Rectangle(self._place(left, top + down), *size, fc=colour, transform=self.figure.transFigure)
        )

    def _place(self, left: float, top: float) -> tuple[float, float]:
        return left / self.width, 1 - top / self.height
