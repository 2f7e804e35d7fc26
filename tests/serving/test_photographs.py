"""Models of photographs behind servers, by REST and by gRPC."""

import numpy as np
import pytest

from tests.exporting.test_photographs import close, encoded, landscape
from tests.serving import asking, double
from tf_metagan import serve
from tf_metagan.exporting.forms import Photographs
from tf_metagan.serving import rest_server
from tf_metagan.serving.session import Session

IMAGE, OTHER = landscape(0), landscape(1, width=40)
WANTED = {"num_samples": 2, "width": 30, "random_from": 1, "seed": (5, 6)}


@pytest.fixture(scope="module")
def url(photographs):
    with pytest.MonkeyPatch.context() as patch:
        # Of every signature; the double below replays the file of an export.
        patch.setattr(Session, "warm_up", lambda _: None)
        with rest_server.serving(str(photographs.folder)) as server:
            yield server.url


@pytest.fixture(scope="module", params=["http", "grpc"])
def remote(request, photographs, tmp_path_factory):
    """Return the model behind a server, by either protocol."""
    if request.param == "http":
        url = request.getfixturevalue("url")
        yield serve.connect(url, "photographs")
        return
    copy = tmp_path_factory.mktemp("double") / "copy"
    made = double.Double(photographs.folder.parent, copy)
    with double.listening(made) as address:
        yield serve.connect(f"grpc://{address}", "photographs")
    made.close()


def test_answers_are_those_of_the_loaded_model(remote, photographs):
    model = photographs.model
    close(
        remote.sample(IMAGE, height=20, **WANTED),
        model.sample(IMAGE, height=20, **WANTED),
        atol=1e-4,
    )
    found, expected = (
        x.interpolate(IMAGE, OTHER, strength=0.3, height=0, **WANTED)
        for x in (remote, model)
    )
    close(found.samples, expected.samples, atol=1e-4)
    close(found.reconstruction, expected.reconstruction, atol=1e-4)


def test_files_come_back_as_files(remote, photographs):
    files = remote.sample_bytes(encoded(OTHER), height=0, **WANTED)
    again = remote.sample_bytes(encoded(OTHER), height=0, **WANTED)
    assert files.shape == [2]
    assert files.numpy().tolist() == again.numpy().tolist()
    assert all(file.startswith(b"\x89PNG") for file in files.numpy())


def test_refusals_are_sentences(remote):
    with pytest.raises(ValueError, match=r"^width is 2; expected 0 or 16 to"):
        remote.sample(IMAGE, height=0, **{**WANTED, "width": 2})
    with pytest.raises(ValueError, match="has no signature sample_prior"):
        remote.sample_prior(num_samples=1, seed=0)


def test_rows_are_photographs(url, photographs):
    rows = [IMAGE.tolist(), landscape(2).tolist()]
    path = "/v1/models/photographs:predict"
    found = asking.predict(url, {"instances": rows}, path=path)
    assert found.status == 200
    samples = np.array(found.content["predictions"])
    assert samples.shape == (2, 5, 18, 24, 3)
    close(samples[0], photographs.model.sample(IMAGE), atol=1e-4)


def test_warm_up_holds_every_signature(photographs):
    asked = [x.predict_log.request for x in double.warm_up(photographs.folder)]
    names = [x.model_spec.signature_name for x in asked]
    assert names == list(Photographs.purposes)
