"""An export on a server, by gRPC; needs tensorflow-serving-api."""

from typing import Any

import numpy as np
import tensorflow as tf

try:
    import grpc
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError as error:
    _SERIES = ".".join(tf.__version__.split(".")[:2])
    raise ImportError(
        f"gRPC needs tensorflow-serving-api beside TensorFlow {tf.__version__} "
        f"({error}). Run: pip install --no-deps "
        f"'tensorflow-serving-api=={_SERIES}.*', or ask the server by REST."
    ) from error

from tf_metagan.serving import remote

_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND,
)
# The default limit of 4 MB is less than a thousand samples.
_ANY_SIZE = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class GrpcClient(remote.Remote):
    """Asks TensorFlow Serving by gRPC."""

    def __init__(
        self,
        address: str,
        name: str,
        *,
        version: int | None = None,
        seconds: float,
    ):
        """Ask the server about the model.

        Args:
          address: "HOST:PORT".
          name: of the model.
          version: None is the newest.
          seconds: that a request may take, its deadline.

        Raises:
          ValueError: the server has no such model.
          OSError: it cannot be reached.
        """
        self._channel = grpc.insecure_channel(address, options=_ANY_SIZE)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._address, self._seconds = address, seconds
        self._name, self._version = name, version
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._fill(request.model_spec)
        request.metadata_field.append("signature_def")
        answer = self._send(self._stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        super().__init__(dict(found.signature_def))

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _ask(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        request = predict_pb2.PredictRequest()
        self._fill(request.model_spec)
        request.model_spec.signature_name = signature
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        answer = self._send(self._stub.Predict, request)
        return {
            key: tf.make_ndarray(value) for key, value in answer.outputs.items()
        }

    def _fill(self, spec: Any) -> None:
        spec.name = self._name
        if self._version is not None:
            spec.version.value = self._version

    def _send(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._seconds)
        except grpc.RpcError as error:
            code = error.code()
            raise remote.failure(
                f"{self._address} answered {code.name}",
                error.details(),
                refused=code in _REFUSED,
                late=code == grpc.StatusCode.DEADLINE_EXCEEDED,
            ) from error
