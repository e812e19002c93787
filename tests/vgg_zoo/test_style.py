"""The palette can be read on its grounds; names are shortened; labels do not overlap; users' settings stay."""

import re
import sys
from itertools import pairwise

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import drawn
from vgg_zoo.extras import install
from vgg_zoo.style import (
    DARK,
    LIGHT,
    ON_PHOTOS,
    THEMES,
    Theme,
    check_matplotlib,
    contrast,
    cut,
    fitted,
    png,
    rc,
    shortened,
    spread,
    text_on,
    title,
    width_of,
)

OKABE_ITO = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}


def test_contrast_is_wcags() -> None:
    """Of its own examples: black on white, and the lightest grey that text may have on it."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ff0000", "#ff0000") == 1
    assert text_on("#f0e442") == "#000000"
    assert text_on("#0d1117") == "#ffffff"


@pytest.mark.parametrize("theme", THEMES.values())
def test_everything_stands_out_from_its_ground(theme: Theme) -> None:
    """Lines and bars by 3, as WCAG asks of graphics; words by 4.5. The colours are the palette's."""
    assert min(contrast(colour, theme.ground) for colour in (*theme.series, theme.other)) >= 3
    assert min(contrast(colour, theme.ground) for colour in (theme.ink, theme.quiet)) >= 4.5
    assert set(theme.series) <= OKABE_ITO
    assert len(set(theme.series)) == len(theme.series)


def test_labels_on_photos_can_be_read() -> None:
    """Black or white on each of the palette's colours."""
    assert set(ON_PHOTOS) == OKABE_ITO - {"#000000"}
    assert min(contrast(text_on(colour), colour) for colour in ON_PHOTOS) >= 4.5


def test_names_are_shortened_to_what_fits() -> None:
    """Whole, else the first synonym, else its beginning; never longer."""
    name = "tabby, tabby cat"
    assert shortened(name, lambda text: True) == name
    assert shortened(name, lambda text: len(text) < 9) == "tabby"
    assert shortened(name, lambda text: len(text) < 4) == "ta…"
    assert cut("imagenet, validation", lambda text: len(text) < 11) == "imagenet,…"
    assert shortened(name, lambda text: False) == "…"
    assert shortened("", lambda text: True) == ""
    for width in (0.3, 1, 2):
        assert width_of(fitted("a very long name of a class", width)) <= width
    assert width_of("abc", 18) == pytest.approx(2 * width_of("abc", 9), rel=0.02)


LABELS = st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 2)), min_size=1, max_size=8)


@given(LABELS)
def test_spread_labels_do_not_overlap(labels: list[tuple[float, float]]) -> None:
    """They keep their order, end at the top where they have room, and stay where they are if they are apart."""
    middles, heights = map(list, zip(*labels, strict=True))
    found = spread(middles, heights, 10)
    placed = sorted(zip(found, heights, middles, strict=True))
    for (low, of_low, before), (high, of_high, after) in pairwise(placed):
        assert high - low >= (of_low + of_high) / 2 - 1e-9
        assert before <= after
    last, height, _ = placed[-1]
    assert last + height / 2 <= max(10, sum(heights)) + 1e-9
    assert spread(found, heights, max(10, sum(heights))) == pytest.approx(found)


def test_a_users_settings_do_not_matter_and_stay() -> None:
    """Neither fonts nor colours of other figures change ours, nor ours theirs."""

    def draw(figure: object, theme: Theme) -> None:
        title(figure, "of ours: $x^2$")
        assert matplotlib.rcParams["text.color"] == theme.ink

    plain = png(draw)
    with matplotlib.rc_context({"font.size": 30, "figure.facecolor": "red", "figure.titleweight": "normal"}):
        before = dict(matplotlib.rcParams)
        assert png(draw) == plain
        assert dict(matplotlib.rcParams) == before
    assert png(draw, DARK) != plain
    assert drawn(draw).words == ["of ours: $x^2$"]


def test_both_themes_set_the_same() -> None:
    """Nothing of the light one is left in the dark one."""
    assert rc(LIGHT).keys() == rc(DARK).keys()
    assert {name for name in rc(LIGHT) if "color" in name and rc(LIGHT)[name] == rc(DARK)[name]} == set()


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=re.escape(f"drawing needs matplotlib: {install('plots')}")):
        check_matplotlib()
