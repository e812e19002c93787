"""What can go wrong with a request, and what is planned to."""

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.hub.local_hub.answers import Answer, as_json
from tests.hub.local_hub.exchange import Exchange

FOREVER = math.inf

Fault = Callable[[Exchange], None]
"""Takes the place of the answer."""


def status(code: int) -> Fault:
    """Nothing but an error."""
    return lambda exchange: exchange.send(as_json({"error": "The Hub is not well"}, code))


def reset(after: int = 0) -> Fault:
    """The connection breaks after so many bytes of the request's body; nothing is done."""

    def fault(exchange: Exchange) -> None:
        exchange.skip_body(after)
        exchange.reset()

    return fault


def lost_response() -> Fault:
    """All is done, and nobody hears of it."""

    def fault(exchange: Exchange) -> None:
        exchange.answer()
        exchange.close_connection = True

    return fault


def changed_answer(change: Callable[[Answer], Answer]) -> Fault:
    """The right answer, altered."""
    return lambda exchange: exchange.send(change(exchange.answer()))


def short_body() -> Fault:
    """A complete response whose body lacks its last byte."""
    return changed_answer(lambda answer: replace(answer, stop=answer.size - 1))


def cut_body(after: int) -> Fault:
    """The connection ends after so many bytes of the response's body."""
    return changed_answer(lambda answer: replace(answer, cut=after))


def corrupt_body() -> Fault:
    """One bit is wrong, in the middle; the size is right."""
    return changed_answer(lambda answer: replace(answer, flipped=answer.size // 2))


def before(hook: Callable[[], object]) -> Fault:
    """Something else happens first, then the right answer."""

    def fault(exchange: Exchange) -> None:
        hook()
        exchange.send(exchange.answer())

    return fault


def delay(seconds: float) -> Fault:
    """The right answer, late."""
    return before(lambda: time.sleep(seconds))


@dataclass(slots=True)
class Planned:
    """A fault for so many requests with a method, whose unquoted path and query a pattern finds."""

    method: str
    pattern: re.Pattern[str]
    fault: Fault
    left: float


class Faults:
    """What is to go wrong; of several faults for a request the first one that is left."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []
        self._lock = threading.Lock()

    def plan(self, method: str, pattern: str, fault: Fault, times: float) -> None:
        """One more."""
        with self._lock:
            self._planned.append(Planned(method, re.compile(pattern), fault, times))

    def clear(self) -> None:
        """No more."""
        with self._lock:
            self._planned.clear()

    @property
    def left(self) -> int:
        """How many have not been used up, but for those that are for ever."""
        return sum(0 < planned.left < FOREVER for planned in self._planned)

    def next(self, method: str, target: str) -> Fault | None:
        """What is to happen to a request; it counts as used."""
        with self._lock:
            for planned in self._planned:
                if planned.left and planned.method == method and planned.pattern.search(target):
                    planned.left -= 1
                    return planned.fault
        return None
