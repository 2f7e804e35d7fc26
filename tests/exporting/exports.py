"""Toy exports, and how tests ask them."""

import pathlib
import unittest.mock
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests import runs
from tf_metagan import assembly, serve, trained_runs
from tf_metagan.data import base as data
from tf_metagan.exporting import (
    form,
    photograph_terms,
    photographs,
    studio,
    write,
)
from tf_metagan.exporting.terms import Defaults, Limits, Terms

SIZE = 16
BATCH = 4
LIMITS = Limits(
    images=8, steps=20, samples=600, step_images=80, pixels=4096, tasks=4
)
EXEMPLAR = {
    "game": "exemplar",
    "architecture": "exemplar",
    "algo": "joint",
    "inner_steps": 1,
}


class Export(NamedTuple):
    """An exported run, and the run."""

    run: trained_runs.Run
    terms: Terms
    folder: pathlib.Path
    model: serve.Model


def toy_run(**changes) -> trained_runs.Run:
    """Return a run of freshly drawn toy weights."""
    settings = assembly.with_algorithm_defaults(runs.settings(**changes))
    algorithm = assembly.make_algorithm(settings)
    split = data.Split("glyphs", 0, (0, 1, 2), (3, 4), "none")
    return trained_runs.Run(settings, algorithm, algorithm.init(3), 7, split)


def export(run, base, **changes) -> Export:
    """Export a run with small limits."""
    terms = Terms(
        image_shape=(SIZE, SIZE, 1),
        batch_size=BATCH,
        limits=LIMITS,
        defaults=Defaults(steps=2, samples=5),
        **changes,
    )
    folder = write.export(
        run,
        base / "toy",
        terms,
        examples=[form.Example("noise", images(3))],
    )
    return Export(run, terms, folder, serve.load(str(folder)))


def images(number, *, seed=0, shape=(SIZE, SIZE, 1)) -> np.ndarray:
    """Return images of noise: [number, H, W, C] in [-1, 1]."""
    draw = np.random.default_rng(seed)
    return draw.uniform(-1, 1, (number, *shape)).astype(np.float32)


PHOTOGRAPHS = {
    "algo": "internal",
    "architecture": "pyramid",
    "dataset": "landscapes",
    "image_size": 24,
    "smallest_size": 16,
    "channels": 3,
    "embedding": "small",
    "embedding_size": 32,
    "features": 4,
    "width": 4,
    "inner_steps": 1,
    "inner_batch_size": 1,
    "latent_size": 64,
}


def photograph_run(**changes) -> trained_runs.Run:
    """Return a run of internal learning, freshly drawn, of three scales."""
    run = toy_run(**{**PHOTOGRAPHS, **changes})
    vars = run.vars
    for _ in range(2):
        vars = run.algorithm.next_phase(vars)
    # As if reconstructions had been seen, so that there is noise.
    seen = {
        name: tf.ones_like(x) if name.startswith("amplitude") else x
        for name, x in vars.state["g"].items()
    }
    vars = vars._replace(state={**vars.state, "g": seen})
    split = data.Split("landscapes", 0, (0, 1), (2, 3), "none")
    return run._replace(vars=vars, split=split)


def photograph_export(run, base, **changes) -> Export:
    """Export a run that models photographs, with small limits.

    It draws two images of 18 x 24 pixels at a time.
    """
    limits = photograph_terms.Limits(
        images=3, samples=40, pixels=4096, side=64, sample_pixels=2**17
    )
    defaults = photograph_terms.Defaults(5)
    terms = photographs.terms_of(run, limits, defaults)._replace(**changes)
    with unittest.mock.patch.object(studio, "CHUNK_PIXELS", 2 * 18 * 24):
        folder = write.export(run, base / "photographs", terms, examples=[])
    return Export(run, terms, folder, serve.load(str(folder)))


class Session:
    """The model as a server runs it: a TF1 session, tensors by name.

    A server does not compare what it feeds with the shape of a placeholder,
    while Python does. So the session is one of a graph whose placeholders have
    no shape.
    """

    def __init__(self, folder: pathlib.Path, copy: pathlib.Path):
        self.signatures: dict[str, Any] = {}
        without_shapes(folder, copy)
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._session = tf.compat.v1.Session()
            meta = tf.compat.v1.saved_model.load(
                self._session, ["serve"], str(copy)
            )
        self.signatures = dict(meta.signature_def)

    def __call__(self, name, **inputs):
        return self.run(name, inputs)

    def run(self, name, inputs, *, outputs=None, options=None):
        """Run a signature for all of its outputs, or for some."""
        signature = self.signatures[name]
        feed = {signature.inputs[k].name: v for k, v in inputs.items()}
        fetch = {
            k: signature.outputs[k].name for k in outputs or signature.outputs
        }
        return self._session.run(fetch, feed, options)

    def close(self):
        self._session.close()


def without_shapes(folder: pathlib.Path, copy: pathlib.Path) -> None:
    """Copy a SavedModel, placeholders taking tensors of every shape."""
    copy.mkdir()
    (copy / "variables").symlink_to(folder / "variables")
    graph = (folder / "saved_model.pb").read_bytes()
    model = saved_model_pb2.SavedModel.FromString(graph)
    for node in model.meta_graphs[0].graph_def.node:
        if node.op in ("Placeholder", "PlaceholderWithDefault"):
            unknown = tf.TensorShape(None).as_proto()
            node.attr["shape"].shape.CopyFrom(unknown)
            node.attr.pop("_output_shapes", None)
    (copy / "saved_model.pb").write_bytes(model.SerializeToString())
