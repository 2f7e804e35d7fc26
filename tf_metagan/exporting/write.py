"""An export from a trained run to the folder of a version, in order."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from tf_metagan import serve, trained_runs
from tf_metagan.exporting import audit, card, forms, golden, record, warmup
from tf_metagan.exporting.form import Example, Form, Request
from tf_metagan.exporting.version_folder import new_version

EXTRA = "assets.extra"  # where servers look for what is no part of the graph


def export(
    run: trained_runs.Run,
    output: str | Path,
    terms: Any,
    *,
    examples: list[Example],
    source: str = "of classes that it was not trained on",
    results: str | Path | None = None,
) -> Path:
    """Write a trained run as the next version of a servable model.

    Args:
      run: the trained run.
      output: folder of the model; its last part is the name.
      terms: sizes, limits, defaults; those of the run's form.
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
    terms.check()
    form = forms.of(run)
    name = Path(output).resolve().name
    module = form.module(run, terms)
    with new_version(output) as (folder, version), _quiet():
        tf.saved_model.save(
            module,
            str(folder),
            signatures={name: getattr(module, name) for name in form.purposes},
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        audit.refine(folder)
        content = record.make(
            run,
            form,
            module,
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
        golden.write(extra / golden.FILE, model, form)
        warmup.write(extra / warmup.FILE, name, warm_requests(model, form))
        if not examples:
            examples, source = [form.own_example(model)], form.own
        card.write(folder, model, form, examples, source=source)
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


def warm_requests(model: serve.Model, form: Form) -> dict[str, Request]:
    """Return a small request for each signature that clients wait for.

    Each is asked here, since one that fails keeps a server from starting.
    """
    requests = form.warm_requests(model)
    for signature, inputs in requests.items():
        function: Callable[..., Any] = model.signatures[signature]
        function(**{k: tf.constant(v) for k, v in inputs.items()})
    return requests
