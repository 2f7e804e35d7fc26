"""One server of each protocol for all tests."""

import grpc
import pytest
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.exporting.conftest import exemplar, photographs, toy  # noqa: F401
from tests.serving import double
from tf_metagan import serve
from tf_metagan.serving import rest_server


@pytest.fixture(scope="session")
def rest(toy):  # noqa: F811
    """Return the URL of a local server."""
    with rest_server.serving(str(toy.folder)) as server:
        yield server.url


@pytest.fixture(scope="session")
def served(toy, tmp_path_factory):  # noqa: F811
    """Return a double of TensorFlow Serving."""
    copy = tmp_path_factory.mktemp("double") / "copy"
    made = double.Double(toy.folder.parent, copy)
    yield made
    made.close()


@pytest.fixture(scope="session")
def grpc_address(served):
    """Return the address of the double."""
    with double.listening(served) as address:
        yield address


@pytest.fixture(scope="session")
def stubs(grpc_address):
    """Return stubs of PredictionService and ModelService."""
    with grpc.insecure_channel(grpc_address) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


@pytest.fixture(scope="session", params=["http", "grpc"])
def remote(request):
    """Return the toy export behind a server, by either protocol."""
    if request.param == "http":
        return serve.connect(request.getfixturevalue("rest"), "toy")
    address = request.getfixturevalue("grpc_address")
    return serve.connect(f"grpc://{address}", "toy")
