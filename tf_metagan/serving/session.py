"""An exported model in a session: what servers run, with a time limit.

TensorFlow Serving runs a model in a session too. It compares no shapes before
it feeds them, so neither does this one: the sentences of the graph answer.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2, saved_model_pb2

from tf_metagan.serving import model

_WARM_UP_SECONDS = 600.0
_PLACEHOLDERS = ("Placeholder", "PlaceholderWithDefault")


class Session:
    """The signatures of an export, callable from many threads.

    Attributes:
      folder: of the version.
      info: what model.json says.
      signatures: {name: SignatureDef}.
    """

    def __init__(self, path: str):
        """Load the export.

        Args:
          path: folder of a version, or of a model, whose newest version is
            taken.

        Raises:
          FileNotFoundError: there is no exported model.
          ValueError: it was written by a later version of this package.
        """
        self.folder, self.info = model.describe(path)
        graph_def = _graph(self.folder)
        self.signatures: dict[str, Any] = {
            name: signature
            for name, signature in graph_def.signature_def.items()
            if signature.inputs
        }
        graph = tf.Graph()
        with graph.as_default():
            saver = tf.compat.v1.train.import_meta_graph(graph_def)
            self._session = tf.compat.v1.Session(config=_config())
            saver.restore(
                self._session,
                os.path.join(self.folder, "variables", "variables"),
            )
        graph.finalize()

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        seconds: float,
    ) -> dict[str, np.ndarray]:
        """Answer one request.

        Args:
          signature: name of one of `signatures`.
          inputs: {name: array of the type in the signature, any shape}. One
            that has a default may be absent.
          seconds: after which the run is given up.

        Returns:
          {output: array}.

        Raises:
          tf.errors.OpError: InvalidArgumentError with the graph's sentence for
            what it refuses, DeadlineExceededError after the time.
        """
        described = self.signatures[signature]
        return dict(
            self._session.run(
                {key: info.name for key, info in described.outputs.items()},
                {
                    described.inputs[key].name: value
                    for key, value in inputs.items()
                },
                options=tf.compat.v1.RunOptions(
                    timeout_in_ms=max(1, round(1000 * seconds))
                ),
            )
        )

    def warm_up(self) -> None:
        """Run every signature at its smallest size, for the first client."""
        for name, signature in self.signatures.items():
            inputs = {
                key: _smallest(key, info)
                for key, info in signature.inputs.items()
            }
            self.run(name, inputs, seconds=_WARM_UP_SECONDS)

    def close(self) -> None:
        """Free what the session holds."""
        self._session.close()


def _graph(folder: str) -> Any:
    """Read the MetaGraphDef; its placeholders take tensors of every shape."""
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    (graph,) = saved.meta_graphs
    for node in graph.graph_def.node:
        if node.op in _PLACEHOLDERS:
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(None).as_proto())
            node.attr.pop("_output_shapes", None)
    return graph


def _config() -> Any:
    config = tf.compat.v1.ConfigProto()
    # The fusion of convolutions and biases fails on these graphs, says so in
    # the log and gains nothing.
    config.graph_options.rewrite_options.remapping = (
        rewriter_config_pb2.RewriterConfig.OFF
    )
    return config


def _smallest(key: str, info: Any) -> np.ndarray:
    """Return an input of one image, one step, one sample."""
    shape = [max(1, axis.size) for axis in info.tensor_shape.dim]
    kind = tf.dtypes.as_dtype(info.dtype)
    if kind == tf.string:
        png: bytes = tf.io.encode_png(np.zeros([8, 8, 1], np.uint8)).numpy()
        return np.full(shape, png, object)
    fill = 1 if key in ("num_samples", "steps") else 0
    return np.full(shape, fill, kind.as_numpy_dtype)
