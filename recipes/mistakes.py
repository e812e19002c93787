"""How a command ends that its user got wrong: in one line, not in a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mistakes_in_one_line() -> Iterator[None]:
    """End the process with `error: ...` and code 1 where its user can mend what is wrong.

    That is a ValueError, of what was asked for, or an OSError, where weights cannot be fetched or results not written.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
