"""Requests that a server runs before it answers others.

TensorFlow Serving replays the records of this file when it loads a model, so
that nobody waits for the first run of a graph. A record is a PredictionLog of
tensorflow-serving-api. That package is no dependency: it pins TensorFlow, and
its messages cannot be defined a second time in one process. Of its messages
four fields of length-delimited type are needed, so they are written by hand;
the tensors inside are TensorFlow's own.

    PredictionLog { PredictLog predict_log = 6; }
    PredictLog { PredictRequest request = 1; }
    PredictRequest { ModelSpec model_spec = 1;
                     map<string, TensorProto> inputs = 2; }
    ModelSpec { string name = 1; string signature_name = 3; }

A map is a repeated message { key = 1; value = 2; }.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"

_DELIMITED = 2


def write(
    path: Path, name: str, requests: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Write a file of requests.

    Args:
      path: the file.
      name: of the model.
      requests: {signature: {input: value}}. One that fails keeps the server
        from loading the model.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            writer.write(prediction_log(name, signature, inputs))


def prediction_log(
    name: str, signature: str, inputs: Mapping[str, np.ndarray]
) -> bytes:
    """Return a serialised PredictionLog of one request."""
    spec = _field(1, name.encode()) + _field(3, signature.encode())
    request = _field(1, spec)
    for key, value in sorted(inputs.items()):
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    tag = _varint(number << 3 | _DELIMITED)
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
