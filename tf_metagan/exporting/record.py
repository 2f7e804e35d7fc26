"""model.json: what an exported model is, takes, gives and was made from."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_metagan import fields, trained_runs, versions
from tf_metagan.config import Config
from tf_metagan.evaluation import store
from tf_metagan.evaluation import subject as subjects
from tf_metagan.exporting import audit, golden, licences
from tf_metagan.exporting.form import Form
from tf_metagan.serve import FORMAT, INFO_FILE

_MEANING = {
    "images": "images in [-1, 1]: byte / 127.5 - 1",
    "image_bytes": "PNG or JPEG files of any size, grey or colour",
    "batches": "images in [-1, 1]; step s looks at batch s modulo B",
    "num_images": "images of each task that count, 0 all of them",
    "num_samples": "images to draw; fewer are the first of more",
    "steps": "steps of adaptation",
    "seed": "root of all random numbers; equal seeds, equal answers",
    "weights": "adapted weights as one vector, in the order of 'weights'",
    "samples": "images in [-1, 1]",
    "png_bytes": "PNG files",
    "d_loss": "loss of the discriminator in the last step, before its move",
    "g_loss": "loss of the generator in the last step, before its move",
    "error": "a sentence, or nothing where all is well",
    "image": "a photograph in [-1, 1]: byte / 127.5 - 1",
    "other": "another photograph",
    "other_bytes": "PNG or JPEG file of another photograph",
    "strength": "0 is the model of the photograph, 1 that of the other",
    "first_scale": "coarser scales keep the weights of the photograph",
    "width": "of samples in pixels, 0 that of the model",
    "height": "of samples in pixels, 0 that of the photograph",
    "random_from": "coarser scales are those of the reconstruction, so that "
    "the layout stays",
    "reconstruction": "the photograph drawn from z*",
    "reconstruction_bytes": "PNG file of the reconstruction",
}


def make(
    run: trained_runs.Run,
    form: Form,
    module: Any,
    terms: Any,
    *,
    folder: Path,
    name: str,
    version: int,
    results: Path | None,
) -> dict[str, Any]:
    """Return the content of model.json, plain values.

    Args:
      run: that was exported.
      form: of the export.
      module: that was saved.
      terms: of the export.
      folder: of the SavedModel, already written.
      name: of the model.
      version: its number.
      results: folder of evaluations of the run, which may not exist; None:
        there are none.
    """
    values = run.settings.config
    weights = subjects.weights_hash(run.vars)
    return {
        "format": FORMAT,
        "name": name,
        "version": version,
        "algo": values.algo,
        "architecture": values.architecture,
        "dataset": values.dataset,
        "data_licence": licences.of(values.dataset),
        "meta_step": run.meta_step,
        "settings_hash": subjects.settings_hash(run.settings),
        "weights_hash": weights,
        "stored_as": terms.weights,
        **terms.facts(),
        "signatures": signatures(folder, form),
        "golden": {
            "file": f"assets.extra/{golden.FILE}",
            "signature": form.golden,
            "atol": golden.TOLERANCE,
        },
        "metrics": metrics(results, weights),
        "versions": versions.installed(),
        "commit": versions.git_commit(),
        "training": {
            "settings": _settings(values),
            "split": run.split._asdict(),
        },
        **module.facts(),
    }


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write model.json."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    (folder / INFO_FILE).write_text(text, encoding="utf-8")


def signatures(folder: Path, form: Form) -> dict[str, Any]:
    """Describe the signatures as they stand in a SavedModel.

    Args:
      folder: of the SavedModel.
      form: of the export.

    Returns:
      {signature: {"purpose", "inputs", "outputs"}}, {name: {"dtype", "shape",
      "tensor", "meaning"}} each, "default" for an input that has one.
    """
    path = folder / audit.GRAPH_FILE
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (graph,) = model.meta_graphs
    found = {}
    for name, purpose in form.purposes.items():
        signature = graph.signature_def[name]
        inputs = _tensors(signature.inputs)
        for key, value in signature.defaults.items():
            inputs[key]["default"] = tf.make_ndarray(value).tolist()
        found[name] = {
            "purpose": purpose,
            "inputs": inputs,
            "outputs": _tensors(signature.outputs),
        }
    return found


def _tensors(infos: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        key: {
            "dtype": tf.dtypes.as_dtype(info.dtype).name,
            "shape": [
                None if d.size < 0 else d.size for d in info.tensor_shape.dim
            ],
            "tensor": info.name,
            "meaning": _MEANING[key],
        }
        for key, info in sorted(infos.items())
    }


def metrics(results: Path | None, weights: str) -> dict[str, Any]:
    """Return the numbers of evaluations of exactly these weights.

    Args:
      results: folder of evaluations, one folder per protocol.
      weights: hash of the weights.

    Returns:
      {protocol: {"critic", "metrics"}}; empty where there are none.
    """
    found: dict[str, Any] = {}
    if results is None:
        return found
    for path in sorted(results.glob(f"*/{store.RESULTS_FILE}")):
        content = store.read_results(path.parent)
        if content["subject"]["weights"] == weights:
            found[content["protocol"]["name"]] = {
                "critic": content["critic"],
                "metrics": content["metrics"],
            }
    return found


def _settings(values: Config) -> dict[str, Any]:
    """Return the settings of training but for the places of files."""
    described = fields.describe(Config)
    return {
        name: described[name].default if described[name].path else value
        for name, value in dataclasses.asdict(values).items()
    }
