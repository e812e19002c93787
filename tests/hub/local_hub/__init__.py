"""A Hugging Face Hub on this machine: what our code asks of the real one by huggingface_hub, and how that may fail.

Its errors' statuses, messages and headers are the real Hub's, since the client decides by them. The large files come
from a second port as they do from a CDN, because the client treats a redirect to the same host differently. It knows
models, their main branch, tags and pull requests, which is what our tests touch; a client that wants to change anything
else makes the test fail. It has no pages, no ranges and no uploads in parts. `test_local_hub.py` shows that it can be
trusted; what follows from a fault is tested by our own commands, in `test_publish.py` and `test_published.py`.

    answers              a status, headers and a body, which may be damaged; errors
    stored, blobs        repositories; the contents of large files
    exchange, faults     HTTP; what goes wrong with it
    routing, routes_*    from a request to its answer
    hub                  LocalHub, which has all of this
    client               a process that works with it
"""

from tests.hub.local_hub import (  # noqa: F401 - importing them registers the routes
    routes_account,
    routes_commits,
    routes_contents,
    routes_downloads,
    routes_pull_requests,
    routes_uploads,
)
from tests.hub.local_hub.client import IMPATIENT, environment
from tests.hub.local_hub.faults import (
    FOREVER,
    Fault,
    before,
    corrupt_body,
    cut_body,
    delay,
    lost_response,
    reset,
    short_body,
    status,
)
from tests.hub.local_hub.hub import LocalHub

__all__ = [
    "FOREVER",
    "IMPATIENT",
    "Fault",
    "LocalHub",
    "before",
    "corrupt_body",
    "cut_body",
    "delay",
    "environment",
    "lost_response",
    "reset",
    "short_body",
    "status",
]
