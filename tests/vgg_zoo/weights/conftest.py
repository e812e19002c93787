"""What tests of downloads share, and Oxford's own convolutions of net D."""

from collections.abc import Iterator

import onnx
import pytest

from tests.vgg_zoo.weights.formats import Arrays
from tests.vgg_zoo.weights.oxford_trunk import convolutions_of, fetched_model
from tests.vgg_zoo.weights.server import Server
from vgg_zoo.weights import download


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and no waiting between attempts."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture(scope="session")
def model() -> onnx.ModelProto:
    """The ONNX file that has them."""
    try:
        return fetched_model()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def trunk(model: onnx.ModelProto) -> Arrays:
    """Its thirteen convolutions in Oxford's layout: OIHW, BGR."""
    return convolutions_of(model)
