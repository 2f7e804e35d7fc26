"""Adaptation and sampling as graphs over variables, without any check."""

from typing import Any, NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.exporting.terms import Terms
from tf_metagan.types import Vars

CHUNK = 256  # images drawn at a time

# Streams of a request's seed; the first two are those of an evaluation.
_ADAPT, _SAMPLE, _BATCHES, _LOSSES = range(4)


class Adapted(NamedTuple):
    """What adaptation leads to.

    Attributes:
      vars: weights after the last step.
      d_loss: scalar, D's loss in the last step, before its move; at the
        meta-weights where there is no step.
      g_loss: the same of G.
    """

    vars: Vars
    d_loss: tf.Tensor
    g_loss: tf.Tensor


class Engine:
    """What an algorithm does with the weights of an export.

    The graph of adaptation exists once, however many signatures use it.
    """

    def __init__(self, algorithm: Any, read: Any, terms: Terms):
        """Fix algorithm and weights.

        Args:
          algorithm: an `algorithms.base.Algorithm`, whose `adapt` may be a
            loop of steps or a single forward pass.
          read: () -> Vars, the meta-weights; called while a graph is built.
          terms: sizes.
        """
        self._algorithm = algorithm
        self._read = read
        self._terms = terms
        self.remembers = _remembers(algorithm.game, read(), terms.image_shape)
        self.adapt = tf.function(
            self._adapt,
            input_signature=[
                tf.TensorSpec([None, None, *terms.image_shape]),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([2], tf.int64),
            ],
            autograph=False,
        )
        self.draw = tf.function(
            self._draw, autograph=False, reduce_retracing=True
        )

    def meta_weights(self) -> Vars:
        """Return the weights before any adaptation."""
        return self._read()

    def _adapt(self, batches, steps, seed) -> Adapted:
        """Adapt to batches [B, n, H, W, C]; step s uses batch s mod B."""
        algorithm, vars = self._algorithm, self._read()
        adapted, log = algorithm.adapt(
            vars, batches, None, rng.fold(seed, _ADAPT), steps
        )
        names = ("D_loss", "G_loss")
        # Of fewer images a step does not move anything, nor is it logged.
        least = algorithm.game.least_images
        moves = (steps > 0) & (tf.shape(batches)[1] >= least)

        def last():
            return [log[name][steps - 1] for name in names]

        def measured():
            outcome = algorithm.game.losses(
                vars, batches[0], None, rng.fold(seed, _LOSSES)
            )
            return [outcome.loss["d"], outcome.loss["g"]]

        return Adapted(adapted, *tf.cond(moves, last, measured))

    def adapt_to(self, images, steps, seed) -> Adapted:
        """Adapt to images [K, H, W, C], K >= 1; every one of them counts."""
        batches = divide(
            images, batch_size=self._terms.batch_size, steps=steps, seed=seed
        )
        adapted = self.adapt(batches, steps, seed)
        return adapted._replace(vars=self.remember(adapted.vars, images))

    def remember(self, vars: Vars, images) -> Vars:
        """Return `vars` with what sampling needs of the images [K, H, W, C]."""
        return self._algorithm.game.remember(vars, images[tf.newaxis])

    def _draw(self, vars: Vars, num_samples, seed):
        """Draw [num_samples, H, W, C], a bounded number at a time."""
        chunks = -(-num_samples // CHUNK)
        sample = self._algorithm.game.sample

        def body(index, drawn):
            first = index * CHUNK
            part = sample(
                vars,
                rng.fold(seed, _SAMPLE, first),
                tf.minimum(CHUNK, num_samples - first),
            )
            return index + 1, drawn.write(index, tf.cast(part, tf.float32))

        drawn = tf.TensorArray(
            tf.float32,
            chunks,
            infer_shape=False,
            element_shape=[None, *self._terms.image_shape],
        )
        _, drawn = tf.while_loop(
            lambda index, drawn: index < chunks,
            body,
            (tf.constant(0), drawn),
            parallel_iterations=1,
        )
        return tf.ensure_shape(drawn.concat(), [None, *self._terms.image_shape])


def divide(images, *, batch_size: int, steps, seed):
    """Divide support images into the batches of the inner steps.

    Args:
      images: [K, H, W, C], K >= 1.
      batch_size: images of an inner step in training.
      steps: int32 scalar.
      seed: int64 [2], decides the order in which images come.

    Returns:
      [1, K, H, W, C] where K <= batch_size, else [max(1, steps), batch_size, H,
      W, C]: rounds through all images, each in another order.
    """
    k = tf.shape(images)[0]

    def rounds():
        needed = tf.maximum(steps, 1) * batch_size
        shape = [-(-needed // k), k]
        keys = rng.integers(rng.fold(seed, _BATCHES), shape, 2**62)
        order = tf.argsort(keys, axis=1, stable=True)
        index = tf.reshape(order, [-1])[:needed]
        return tf.gather(images, tf.reshape(index, [-1, batch_size]))

    return tf.cond(k <= batch_size, lambda: images[tf.newaxis], rounds)


def _remembers(game, vars: Vars, image_shape) -> bool:
    """Tell whether sampling needs the support images."""
    probe = game.remember(vars, tf.zeros([1, 1, *image_shape]))
    return set(probe.state) != set(vars.state)
