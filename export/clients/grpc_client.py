"""Draw more of a few images by gRPC.

pip install tensorflow-serving-api
python export/clients/grpc_client.py HOST:8500 NAME OUTPUT *.png
"""

import pathlib
import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# More than 4 MB is refused by default: some thousand samples.
OPTIONS = [("grpc.max_receive_message_length", -1)]


def draw(address, model, files, *, num_samples=8, steps=10):
    """Return PNG files drawn after adapting to PNG or JPEG files."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "adapt_and_sample_bytes"
    for name, value in (
        ("image_bytes", tf.constant(files)),
        ("num_samples", tf.constant(num_samples)),
        ("steps", tf.constant(steps)),
    ):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    # The seed is left out: it has a default.
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            answer = stub.Predict(request, timeout=60)
        except grpc.RpcError as error:
            raise SystemExit(
                f"{error.code().name}: {error.details()}"
            ) from None
    return list(answer.outputs["png_bytes"].string_val)


if __name__ == "__main__":
    address, model, output, *paths = sys.argv[1:]
    images = [pathlib.Path(path).read_bytes() for path in paths]
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for number, png in enumerate(draw(address, model, images)):
        (folder / f"{number:03d}.png").write_bytes(png)
