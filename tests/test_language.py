"""The words of the project: plain technical English, and one word for one thing, in pages, docstrings and messages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BETTER = {
    "anew": "again",
    "bit by bit": "bit-identical",
    "the same bits": "bit-identical",
    "but for rounding": "up to rounding",
    "goes on from": "resumes from",
    "goes on where": "resumes where",
    "is told": "is reported",
    "are told": "are reported",
    "cut to the image": "clipped to the image",
    "is cut to its middle": "is cropped to its middle",
    "place of the map": "position of the map",
    "places of the map": "positions of the map",
    "in silence": "silently",
    "without a word": "silently",
    "cannot be had": "is not available",
    "typed wrong": "wrong usage",
    "brought to the disk": "flushed to disk",
}
"""Phrases that are always wrong here, and what to write instead."""


def pages() -> list[Path]:
    """README, the pages, the model card, and all Python files that users read or run."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("hub/templates/*")]
    for package in ("vgg_zoo", "vgg_zoo_cli", "recipes", "hub", "command_line"):
        found += (ROOT / package).rglob("*.py")
    return sorted(found)


def wrong_words(text: str) -> Iterator[str]:
    """The phrases in a text that have a better word, with their lines; a phrase may go over two lines of a comment."""
    for phrase, better in BETTER.items():
        words = r"\s+(?:#\s+)?".join(map(re.escape, phrase.split()))
        for match in re.finditer(rf"\b{words}\b", text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"line {line}: {phrase!r}; write {better!r}"


@pytest.mark.parametrize("phrase", BETTER)
def test_wrong_words_are_found(phrase: str) -> None:
    """In a sentence, in capitals and over two lines of a comment, but not within another word."""
    expected = [f"line 2: {phrase!r}; write {BETTER[phrase]!r}"]
    assert list(wrong_words(f"\nThe net {phrase} ends.")) == expected
    assert list(wrong_words(f"\n# {phrase.upper()}.")) == expected
    assert list(wrong_words("\n# " + phrase.replace(" ", "\n    # ", 1))) == expected
    assert list(wrong_words(f"\nx{phrase}x")) == []


def test_every_text_has_the_projects_words() -> None:
    """Pages, docstrings, comments and messages; the failure names the line and the better word."""
    assert len(pages()) > 200
    wrong = [f"{page.relative_to(ROOT)}, {found}" for page in pages() for found in wrong_words(page.read_text())]
    assert wrong == []
