"""An export on a server, by REST."""

import base64
import functools
import http.client
import json
import operator
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from tf_metagan.serving import remote

_REFUSED = (400, 404, 413)
_LATE = 504


class RestClient(remote.Remote):
    """Asks TensorFlow Serving, or the local server, by REST."""

    def __init__(
        self,
        server: str,
        name: str,
        *,
        version: int | None = None,
        seconds: float,
    ):
        """Ask the server about the model.

        Args:
          server: "http://HOST:PORT".
          name: of the model.
          version: None is the newest.
          seconds: that a request may take.

        Raises:
          ValueError: the server has no such model.
          OSError: it cannot be reached.
        """
        self._url = f"{server.rstrip('/')}/v1/models/{name}" + (
            "" if version is None else f"/versions/{version}"
        )
        self._seconds = seconds
        described = self._fetch(
            f"{self._url}/metadata", None, "metadata", *["signature_def"] * 2
        )
        super().__init__(
            {
                key: json_format.ParseDict(
                    value,
                    meta_graph_pb2.SignatureDef(),
                    ignore_unknown_fields=True,
                )
                for key, value in described.items()
            }
        )

    def _ask(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        request = {
            "signature_name": signature,
            "inputs": {key: _plain(value) for key, value in inputs.items()},
        }
        body = json.dumps(request).encode()
        content = self._fetch(f"{self._url}:predict", body, "outputs")
        outputs = self.signatures[signature].outputs
        if len(outputs) == 1:  # it stands without its name
            content = dict.fromkeys(outputs, content)
        return {
            key: _decoded(content[key])
            if info.dtype == tf.string.as_datatype_enum
            else content[key]
            for key, info in outputs.items()
        }

    def _fetch(self, url: str, body: bytes | None, *keys: str) -> Any:
        """Return what is below these keys of the JSON that a server answers."""
        request = urllib.request.Request(
            url, body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(
                request, timeout=self._seconds
            ) as answer:
                return functools.reduce(
                    operator.getitem, keys, json.load(answer)
                )
        except urllib.error.HTTPError as error:
            with error:
                raise remote.failure(
                    f"{url} answered {error.code}",
                    _sentence(error.read()),
                    refused=error.code in _REFUSED,
                    late=error.code == _LATE,
                ) from error
        except urllib.error.URLError as error:
            late = isinstance(error.reason, TimeoutError)
            raise remote.failure(
                url, str(error.reason), refused=False, late=late
            ) from error
        except TimeoutError as error:
            raise TimeoutError(
                f"{url} gave no answer within {self._seconds:g} s"
            ) from error
        except (
            http.client.HTTPException,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            raise ConnectionError(
                f"{url} does not speak TensorFlow Serving's REST protocol: "
                f"{error!r}"
            ) from error


def _sentence(body: bytes) -> str:
    """Return what {"error": sentence} says, or the beginning of a page."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")


def _plain(value: np.ndarray | bytes) -> Any:
    """Return what JSON can say."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if value.dtype == object:
        return [_plain(item) for item in value]
    return value.tolist()


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value
