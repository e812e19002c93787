"""Tables in Markdown, and what several of them have in their cells."""

from collections.abc import Iterable, Sequence


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table; its first line is the head."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))


def distinct(texts: Iterable[str]) -> str:
    """The texts of several nets, once if all are the same."""
    found = list(texts)
    return found[0] if len(set(found)) == 1 else " + ".join(found)


def trained(scales: Sequence[int]) -> str:
    """S, or the range of S, that a net was trained at."""
    if not scales:
        return "?"
    return str(scales[0]) if len(scales) == 1 else f"[{scales[0]}; {scales[1]}]"
