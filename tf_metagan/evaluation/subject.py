"""What is evaluated: anything that adapts to images and draws."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tf_metagan import assembly, config, fields, trained_runs
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.core import rng
from tf_metagan.types import Vars

CHUNK = 256  # images drawn at a time

_ADAPT, _SAMPLE = range(2)

# Sections of settings that change no answer, and what of them does.
_UNCOUNTED = (config.RUN, config.PICTURES)
_COUNTED = ("algo", "seed", "precision", "adapt_batch_size")


class Subject(Protocol):
    """Adapts to a few images and draws more of them.

    Attributes:
      facts: what it is, for the record: plain values, among them "weights", a
        hash that differs when the answers do.
    """

    @property
    def facts(self) -> Mapping[str, Any]: ...

    def adapt(
        self, support: np.ndarray, *, seed: np.ndarray, steps: int
    ) -> Any:
        """Return adapted weights.

        Args:
          support: [batches, batch, H, W, C] in [-1, 1]; step s uses batch s
            modulo their number.
          seed: int64 [2].
          steps: >= 0; 0 gives what the subject draws without adaptation.
        """

    def sample(self, adapted: Any, *, seed: np.ndarray, n: int) -> np.ndarray:
        """Return [n, H, W, C] in [-1, 1]; fewer are the first of more.

        Args:
          adapted: what `adapt` gave.
          seed: int64 [2].
          n: number of images.
        """


class WeightsSubject:
    """An algorithm and its weights, such as those of a trained run."""

    def __init__(
        self,
        algorithm: Any,
        vars: Vars,
        facts: Mapping[str, Any],
        *,
        image_shape: tuple[int, int, int],
    ):
        """Take values, not variables, so that nothing here can change them.

        Args:
          algorithm: an `algorithms.base.Algorithm`.
          vars: meta-weights, tensors.
          image_shape: (H, W, C) of what is adapted to and drawn.
          facts: what they are; the hash of the weights is added.
        """
        self.facts = {**facts, "weights": weights_hash(vars)}
        self._dtype = next(iter(vars.params["g"].values())).dtype
        self._adapt = tf.function(
            lambda support, seed, steps: algorithm.adapt(
                vars, support, None, rng.fold(seed, _ADAPT), steps
            )[0],
            input_signature=[
                tf.TensorSpec([None, None, *image_shape], self._dtype),
                tf.TensorSpec([2], tf.int64),
                tf.TensorSpec([], tf.int32),
            ],
            autograph=False,
        )
        self._sample = tf.function(
            lambda vars, seed: algorithm.game.sample(vars, seed, CHUNK),
            autograph=False,
            # Some rules keep the support images, of which there may be any
            # number, in the adapted state.
            reduce_retracing=True,
        )

    def adapt(
        self, support: np.ndarray, *, seed: np.ndarray, steps: int
    ) -> Vars:
        """Return adapted weights; see `Subject`."""
        adapted: Vars = self._adapt(
            tf.constant(support, self._dtype),
            tf.constant(seed, tf.int64),
            tf.constant(steps, tf.int32),
        )
        return adapted

    def sample(self, adapted: Vars, *, seed: np.ndarray, n: int) -> np.ndarray:
        """Draw [n, H, W, C]; see `Subject`."""
        root = tf.constant(seed, tf.int64)
        chunks = [
            self._sample(adapted, rng.fold(root, _SAMPLE, first)).numpy()
            for first in range(0, n, CHUNK)
        ]
        return np.concatenate(chunks)[:n]


def of_run(run: trained_runs.Run, logdir: str) -> WeightsSubject:
    """Make a subject of a trained run.

    Args:
      run: from `trained_runs.load_run`.
      logdir: its folder, for the record.
    """
    values = run.settings.config
    facts = {
        "kind": "run",
        "run": logdir,
        "algo": values.algo,
        "dataset": values.dataset,
        "meta_step": run.meta_step,
        "settings": settings_hash(run.settings),
    }
    return WeightsSubject(
        run.algorithm, run.vars, facts, image_shape=_image_shape(values)
    )


def scratch_of(
    settings: settings_lib.Settings[Config], *, seed: int
) -> WeightsSubject:
    """Make the control: random weights, adapted by the same inner rule.

    Args:
      settings: of the run that it is compared with.
      seed: of the weights.
    """
    values = {**dataclasses.asdict(settings.config), "algo": "scratch"}
    settings = settings_lib.Settings(Config, [(values, False)])
    algorithm = assembly.make_algorithm(settings)
    facts = {
        "kind": "scratch",
        "seed": seed,
        "settings": settings_hash(settings),
    }
    return WeightsSubject(
        algorithm,
        algorithm.init(seed),
        facts,
        image_shape=_image_shape(settings.config),
    )


def settings_hash(settings: settings_lib.Settings[Config]) -> str:
    """Return 16 hexadecimal digits that change with what a run computes.

    How long it trained, where it lies and what it logs do not count. Nor do
    defaults: a setting that is new in a later version leaves the hash alone.
    """
    described = fields.describe(Config)
    counted = {
        name: value
        for name, value in sorted(dataclasses.asdict(settings.config).items())
        if value != described[name].default
        and (name in _COUNTED or described[name].section not in _UNCOUNTED)
        and not described[name].path
    }
    return hashlib.sha256(json.dumps(counted).encode()).hexdigest()[:16]


def _image_shape(values: Config) -> tuple[int, int, int]:
    return values.image_size, values.image_size, values.channels or 1


def weights_hash(vars: Vars) -> str:
    """Return 16 hexadecimal digits that change with any value in `vars`."""
    digest = hashlib.sha256()
    for name, value in _leaves("", vars._asdict()):
        array = np.ascontiguousarray(value)
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _leaves(path: str, branch: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(branch.items()):
        below = f"{path}/{name}"
        if isinstance(value, Mapping):
            yield from _leaves(below, value)
        else:
            yield below, value
