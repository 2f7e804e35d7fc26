"""What the clients of a server have in common."""

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan.serving import model

# {signature that an export of each form has: its input that holds images}
_IMAGES = {"adapt_and_sample": "images", "sample": "image"}


class Remote(model.Endpoint):
    """An export on a server, with the methods of `model.Model`; eager only.

    What the server or its model refuses is a ValueError, what took too long a
    TimeoutError, every other failure a ConnectionError.
    """

    def __init__(self, signatures: Mapping[str, Any]):
        """Take what the server says about itself.

        Args:
          signatures: {name: SignatureDef}.

        Raises:
          ValueError: it is no export of this package.
        """
        super().__init__(_info(signatures), signatures)

    def _run(self, signature: str, inputs: dict[str, tf.Tensor]) -> Any:
        arrays = {key: value.numpy() for key, value in inputs.items()}
        found = self._ask(signature, arrays)
        kinds = self.signatures[signature].outputs
        return {
            key: tf.constant(value, tf.dtypes.as_dtype(kinds[key].dtype))
            for key, value in found.items()
        }

    @abc.abstractmethod
    def _ask(
        self, signature: str, inputs: dict[str, np.ndarray]
    ) -> Mapping[str, Any]:
        """Return {output: value}; raise as the class says."""


def failure(
    what: str, message: str, *, refused: bool, late: bool
) -> ValueError | FloatingPointError | OSError:
    """Return the exception for an answer that is an error.

    Args:
      what: that failed, "http://... answered 503".
      message: of the server.
      refused: the request was at fault.
      late: the time was.
    """
    if refused:
        error = tf.errors.InvalidArgumentError(None, None, message)
        return model.refusal(error)
    return (TimeoutError if late else ConnectionError)(f"{what}: {message}")


class _Defaults(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise ValueError(
            f"{name} is not given, and the server does not tell the default "
            f"of the model; give {name}"
        )


def _info(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of model.json that requests need."""
    for name, key in _IMAGES.items():
        if name in signatures and key in signatures[name].inputs:
            shape = signatures[name].inputs[key].tensor_shape
            *_, height, width, channels = (
                None if axis.size < 0 else axis.size for axis in shape.dim
            )
            break
    else:
        raise ValueError(
            f"the signatures of the model are {', '.join(sorted(signatures))}; "
            f"expected an export of tf_metagan, with {' or '.join(_IMAGES)}"
        )
    defaults = {
        key: tf.make_ndarray(value).tolist()
        for described in signatures.values()
        for key, value in described.defaults.items()
    }
    return {
        "image": {"height": height, "width": width, "channels": channels},
        "defaults": _Defaults(defaults),
        "signatures": {
            name: {"inputs": list(described.inputs)}
            for name, described in signatures.items()
        },
    }
