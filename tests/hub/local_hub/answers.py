"""What the Hub answers: a status, headers and a body, which may be damaged."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

BLOCK = 2**20


@dataclass(slots=True, kw_only=True)
class Answer:
    """A response, and what is wrong with its body.

    Attributes:
        status: Of HTTP.
        headers: Content-Length is made from the content.
        content: The whole, or the file that has it.
        stop: The byte after the last one; None where the content ends.
        flipped: A byte of the body that has a wrong bit.
        cut: The connection ends after so many bytes of the body.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | Path = b""
    stop: int | None = None
    flipped: int | None = None
    cut: int | None = None

    @property
    def size(self) -> int:
        """What Content-Length says."""
        whole = self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)
        return whole if self.stop is None else self.stop

    def blocks(self) -> Iterator[bytes]:
        """The body, never more than a block of it in memory."""
        end = self.size if self.cut is None else min(self.cut, self.size)
        with self.content.open("rb") if isinstance(self.content, Path) else BytesIO(self.content) as file:
            for begin in range(0, end, BLOCK):
                file.seek(begin)
                block = bytearray(file.read(min(BLOCK, end - begin)))
                place = -1 if self.flipped is None else self.flipped - begin
                if 0 <= place < len(block):
                    block[place] ^= 1
                yield bytes(block)


def as_json(content: Any, status: int = 200) -> Answer:
    """An answer to be parsed."""
    headers = {"Content-Type": "application/json"}
    return Answer(status=status, content=json.dumps(content).encode(), headers=headers)


class HubError(Exception):
    """An error as the Hub sends it: JSON, and the headers by which the client chooses its exception.

    Args:
        status: Of HTTP.
        message: What the client shows.
        code: RepoNotFound, RevisionNotFound or EntryNotFound, where it is one of them.
        more: Entries of the JSON, beside the message.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.answer = as_json({"error": message} | more, status)
        self.answer.headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
