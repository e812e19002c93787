"""What tests of downloads share."""

from collections.abc import Iterator

import pytest

from tests.weights.server import Server
from vgg_zoo.weights import download


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and no waiting between attempts."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()
