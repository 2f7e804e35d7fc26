"""An export from a trained run to the folder of a version, in order."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tf_metagan import assembly, serve
from tf_metagan.exporting import audit, card, golden, record, warmup
from tf_metagan.exporting import terms as terms_lib
from tf_metagan.exporting.adapter import Adapter, signatures_of
from tf_metagan.exporting.card import Example
from tf_metagan.exporting.terms import Terms
from tf_metagan.exporting.version_folder import new_version

EXTRA = "assets.extra"  # where servers look for what is no part of the graph
_OWN = "drawings of the model itself"


def export(
    run: assembly.Run,
    output: str | Path,
    terms: Terms,
    *,
    examples: list[Example],
    source: str = "of classes that it was not trained on",
    results: str | Path | None = None,
) -> Path:
    """Write a trained run as the next version of a servable model.

    Args:
      run: the trained run.
      output: folder of the model; its last part is the name.
      terms: sizes, limits, defaults.
      examples: what the picture of the model card shows; may be empty.
      source: where the examples are from.
      results: folder of evaluations of the run, which may not exist; None:
        there are none.

    Returns:
      The folder of the version.

    Raises:
      ValueError: weights, graph or terms do not allow it.
      OSError: files cannot be written.
    """
    terms_lib.check(terms)
    name = Path(output).resolve().name
    adapter = Adapter(run.algorithm, run.vars, terms)
    with new_version(output) as (folder, version), _quiet():
        tf.saved_model.save(
            adapter,
            str(folder),
            signatures=signatures_of(adapter),
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        audit.refine(folder)
        content = record.make(
            run,
            adapter,
            terms,
            folder=folder,
            name=name,
            version=version,
            results=None if results is None else Path(results),
        )
        record.write(folder, content)
        # From here on only what was written is used.
        model = serve.load(str(folder))
        extra = folder / EXTRA
        extra.mkdir()
        golden.write(extra / golden.FILE, model)
        warmup.write(extra / warmup.FILE, name, warm_requests(model))
        if not examples:
            examples, source = [_own_example(model)], _OWN
        card.write(folder, model, examples, source=source)
    logging.info("version %d of %s: %s", version, name, Path(output))
    return Path(output) / str(version)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what TensorFlow notes on the way for --verbosity=1."""
    before = logging.get_verbosity()
    if before <= logging.INFO:
        logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def warm_requests(model: serve.Model) -> dict[str, dict[str, Any]]:
    """Return a small request for each signature that clients wait for.

    Each is asked here, since one that fails keeps a server from starting.
    """
    images = _own_example(model, number=2).images
    png = tf.io.encode_png(np.uint8((images[0] + 1) * 127.5)).numpy()
    scalars = {
        "num_samples": np.int32(1),
        "steps": np.int32(1),
        "seed": np.array([0, 0], np.int64),
    }
    requests: dict[str, dict[str, Any]] = {
        "serving_default": {"images": images},
        "adapt_and_sample": {"images": images, **scalars},
        "adapt_and_sample_bytes": {
            "image_bytes": np.array([png], object),
            **scalars,
        },
        "sample_prior": {
            name: scalars[name] for name in ("num_samples", "seed")
        },
    }
    for signature, inputs in requests.items():
        function: Callable[..., Any] = model.signatures[signature]
        function(**{k: tf.constant(v) for k, v in inputs.items()})
    return requests


def _own_example(model: serve.Model, *, number: int = 8) -> Example:
    number = min(
        number, model.info["limits"]["images"], model.info["limits"]["samples"]
    )
    drawn = model.sample_prior(num_samples=number, seed=1).numpy()
    return Example("", np.clip(drawn, -1.0, 1.0))
