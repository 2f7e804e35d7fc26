"""From photographs to their GANs and images as graphs, without any check."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_metagan.exporting import fitting
from tf_metagan.exporting.photograph_terms import Terms
from tf_metagan.types import Vars

CHUNK_PIXELS = 2**18
"""Pixels drawn at a time."""

# Fields of a GAN that differ from photograph to photograph.
_TENSORS = ("weights", "sizes", "amplitudes", "star")


class Studio:
    """What a game makes of photographs with the weights of an export.

    The graphs of embedding and of drawing exist once each, however many
    signatures use them. The GAN of a photograph is a
    `gan.single_image.Model`.
    """

    def __init__(self, game: Any, read: Callable[[], Vars], terms: Terms):
        """Fix game and weights.

        Args:
          game: a `gan.game.Game` that models photographs.
          read: () -> Vars; called while a graph is built.
          terms: sizes.
        """
        self._game = game
        self._read = read
        self._terms = terms
        self._pattern = game.model(read())
        image = tf.TensorSpec([None, terms.widths[-1], terms.channels])
        self._embed = tf.function(
            self._parts, input_signature=[image], autograph=False
        )
        self._render = tf.function(
            self._draw, autograph=False, reduce_retracing=True
        )

    def size(self, image) -> tuple[tf.Tensor, int]:
        """Return the (height, width) that a photograph is brought to."""
        shape = tf.shape(image)
        width = self._terms.widths[-1]
        return fitting.height_at(width, shape[0], shape[1]), width

    def model(self, image) -> Any:
        """Return the GAN of a photograph [h, w, C] in [-1, 1]."""
        parts = self._embed(self._fit(image))
        return self._pattern._replace(**parts)

    def draw(self, model: Any, num_samples, size, random_from, seed):
        """Draw [num_samples, *size, C] as `Model.sample` does."""
        return self._render(
            self._plain(model), num_samples, size, random_from, seed
        )

    def _fit(self, image):
        """Bring a photograph to the width, in whole levels if it changes."""
        width, channels = self._terms.widths[-1], self._terms.channels

        def resized():
            levels = image * 127.5 + 127.5
            return fitting.to_width(levels, width) / 127.5 - 1.0

        fitted = tf.cond(
            tf.equal(tf.shape(image)[1], width), lambda: image, resized
        )
        return tf.ensure_shape(fitted, [None, width, channels])

    def _parts(self, image) -> dict[str, Any]:
        """Return the fields of the GAN that are tensors."""
        vars = self._game.remember(self._read(), image[tf.newaxis, tf.newaxis])
        return self._plain(self._game.model(vars))

    def _plain(self, model: Any) -> dict[str, Any]:
        return {name: getattr(model, name) for name in _TENSORS}

    def _draw(self, parts, num_samples, size, random_from, seed):
        """Draw a bounded number of pixels at a time, from noise of all."""
        model = self._pattern._replace(**parts).resized(tuple(size))
        noises = model.noises(seed, num_samples, random_from=random_from)
        layout = model.layout(random_from)
        at_once = tf.maximum(1, CHUNK_PIXELS // (size[0] * size[1]))
        shape = [None, None, None, self._terms.channels]

        def body(first, drawn):
            part = [noise[first : first + at_once] for noise in noises]
            rendered = tf.cast(model.render(part, layout), tf.float32)
            return first + at_once, drawn.write(first // at_once, rendered)

        drawn = tf.TensorArray(
            tf.float32,
            -(-num_samples // at_once),
            infer_shape=False,
            element_shape=shape,
        )
        _, drawn = tf.while_loop(
            lambda first, drawn: first < num_samples,
            body,
            (tf.constant(0), drawn),
            parallel_iterations=1,
        )
        return tf.ensure_shape(drawn.concat(), shape)
