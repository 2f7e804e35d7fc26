"""A request with its answer, to tell whether another machine computes alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan.exporting.form import Form
from tf_metagan.serve import Model

FILE = "golden.npz"
TOLERANCE = 1e-3
"""By how much samples may differ, of a range of 2: other threads or another
processor add in another order, and the inner optimiser enlarges that."""


def write(path: Path, model: Model, form: Form) -> None:
    """Ask a model for an answer and keep both.

    Args:
      path: file to write.
      model: loaded from what was just written.
      form: of the export; its request gives no image of a data set away.
    """
    request = form.golden_request(model)
    function: Callable[..., Any] = model.signatures[form.golden]
    answer = function(**{k: tf.constant(v) for k, v in request.items()})
    np.savez_compressed(
        path,
        **{f"request/{name}": value for name, value in request.items()},
        **{f"answer/{name}": value.numpy() for name, value in answer.items()},
    )


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (request, answer), {name: value} each."""
    with np.load(path) as stored:
        return tuple(  # type: ignore[return-value]
            {
                name.removeprefix(part): stored[name]
                for name in stored.files
                if name.startswith(part)
            }
            for part in ("request/", "answer/")
        )
