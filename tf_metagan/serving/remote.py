"""What the clients of a server have in common."""

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan.serving import model


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
        super().__init__(_info(signatures))
        self._signatures = signatures

    def _call(self, signature: str, **inputs: tf.Tensor) -> Any:
        if signature not in self._signatures:
            raise ValueError(
                f"the server has no signature {signature}; expected one of "
                f"{', '.join(sorted(self._signatures))}"
            )
        arrays = {key: value.numpy() for key, value in inputs.items()}
        found = self._ask(signature, arrays)
        kinds = self._signatures[signature].outputs
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
    try:
        signature = signatures["adapt_and_sample"]
        shape = signature.inputs["images"].tensor_shape
        _, height, width, channels = (axis.size for axis in shape.dim)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"the signatures of the model are {', '.join(sorted(signatures))}; "
            "expected an export of tf_metagan, with adapt_and_sample"
        ) from error
    defaults = {
        key: tf.make_ndarray(value).tolist()
        for key, value in signature.defaults.items()
    }
    return {
        "image": {"height": height, "width": width, "channels": channels},
        "defaults": _Defaults(defaults),
        "signatures": {
            name: {"inputs": list(described.inputs)}
            for name, described in signatures.items()
        },
    }
