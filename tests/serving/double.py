"""A double of TensorFlow Serving: its gRPC services over a model in a session.

What it shares with the server is how the model is run: loaded by the session
API with the tag "serve", fed and fetched by tensor names, no shapes compared,
the client's deadline as time limit. What it says is modelled on the server's
predict_util.cc, get_model_metadata_impl.cc and get_model_status_impl.cc.
"""

import concurrent.futures
import contextlib

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from tests.exporting import exports

_TEXT = 1024  # characters of an error, as the server cuts it
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Refused(Exception):
    """An error of the server itself, beside those of the graph."""


class Double(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """The newest version in the folder of a model."""

    def __init__(self, base, copy):
        """Load as the server does, warm-up included.

        Args:
          base: folder of the model.
          copy: where a copy without static shapes is put.
        """
        self._name = base.name
        self._version = max(int(p.name) for p in base.iterdir())
        folder = base / str(self._version)
        self._session = exports.Session(folder, copy)
        for log in warm_up(folder):
            self._predict(log.predict_log.request)

    def Predict(self, request, context):
        return _answer(context, self._predict, request, _remaining(context))

    def GetModelMetadata(self, request, context):
        return _answer(context, self._metadata, request)

    def GetModelStatus(self, request, context):
        return _answer(context, self._status, request)

    def close(self):
        self._session.close()

    def _predict(self, request, seconds=60.0):
        self._find(request.model_spec)
        name = request.model_spec.signature_name or "serving_default"
        if name not in self._session.signatures:
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        signature = self._session.signatures[name]
        given, known = set(request.inputs), set(signature.inputs)
        missing = known - given - set(signature.defaults)
        if given - known or missing:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "input keys do not match those of the signature",
            )
        for key, value in request.inputs.items():
            if value.dtype != signature.inputs[key].dtype:
                raise Refused(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"{key} has the wrong type",
                )
        outputs = list(request.output_filter)
        if set(outputs) - set(signature.outputs):
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "output_filter names no output",
            )
        found = self._session.run(
            name,
            {k: tf.make_ndarray(v) for k, v in request.inputs.items()},
            outputs=outputs,
            options=tf.compat.v1.RunOptions(timeout_in_ms=int(1000 * seconds)),
        )
        answer = predict_pb2.PredictResponse()
        self._fill(answer.model_spec)
        answer.model_spec.signature_name = name
        for key, value in found.items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def _metadata(self, request):
        self._find(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "Metadata field not supported",
            )
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self._session.signatures.items():
            found.signature_def[name].CopyFrom(signature)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill(answer.model_spec)
        answer.metadata["signature_def"].Pack(found)
        return answer

    def _status(self, request):
        self._find(request.model_spec)
        answer = get_model_status_pb2.GetModelStatusResponse()
        row = answer.model_version_status.add()
        row.version = self._version
        row.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return answer

    def _find(self, spec):
        versions = (0, self._version)  # 0: none was asked for
        if spec.name != self._name or spec.version.value not in versions:
            raise Refused(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: {spec.name}",
            )

    def _fill(self, spec):
        spec.name = self._name
        spec.version.value = self._version


def warm_up(folder):
    """Return the PredictionLogs of an export."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    return [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]


def _answer(context, method, *arguments):
    try:
        return method(*arguments)
    except Refused as error:
        context.abort(*error.args)
    except tf.errors.OpError as error:
        context.abort(_CODES[error.error_code], error.message[:_TEXT])


def _remaining(context):
    return min(60.0, context.time_remaining() or 60.0)


@contextlib.contextmanager
def listening(*servicers):
    """Yield the address of a gRPC server of such services."""
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = grpc.server(pool)
    for servicer in servicers:
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            servicer, server
        )
        if isinstance(servicer, model_service_pb2_grpc.ModelServiceServicer):
            model_service_pb2_grpc.add_ModelServiceServicer_to_server(
                servicer, server
            )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
        pool.shutdown()
