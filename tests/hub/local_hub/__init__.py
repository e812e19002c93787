"""A Hugging Face Hub on this machine: what huggingface_hub 2.4 asks of the real one, and every way in which it fails.

Its errors' statuses, messages and headers are the real Hub's, since the client decides by them. The large files come
from a second port as they do from a CDN, because the client treats a redirect to the same host differently. It knows
models, their main branch, tags and pull requests, which is what our tests touch; a client that wants to change anything
else makes the test fail.

    answers              a status, headers and a body, which may be damaged; errors
    stored, blobs        repositories; the contents of large files
    exchange, faults     HTTP; what goes wrong with it
    routing, routes_*    from a request to its answer
    hub                  LocalHub, which has all of this
    client               the environment of a process that works with it
"""

from tests.hub.local_hub import (  # noqa: F401 - importing them registers the routes
    routes_account,
    routes_commits,
    routes_contents,
    routes_downloads,
    routes_pull_requests,
    routes_uploads,
)
from tests.hub.local_hub.client import IMPATIENT, environment, sleeps
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
    "sleeps",
    "status",
]
