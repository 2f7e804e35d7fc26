"""The GAN of one photograph: what it draws, and what else it is good for."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.gan import pyramid, resampling

_NOISE = 1
_PIXELS_AT_ONCE = 2**18
Size = tuple


class Model(NamedTuple):
    """A pyramid of generators with weights, without its discriminators.

    Attributes:
      weights: of each trained scale, coarse to fine; of one model (n = 1).
      sizes: (height, width) of every scale of the photograph, of which the
        finest ones may not be trained yet.
      amplitudes: of the noise at each scale.
      star: int64 [2], seed of z*, from which the photograph is rebuilt.
      nets: arithmetic of the stacks.
      own: `sizes` of the photograph where images of another size are drawn,
        else None.

    Images are [n, h, w, C]. Those of methods have the size of the last entry
    of `sizes` and values in [-1, 1].
    """

    weights: Sequence[pyramid.Weights]
    sizes: Sequence[Size]
    amplitudes: Sequence[tf.Tensor]
    star: tf.Tensor
    nets: pyramid.Nets
    own: Sequence[Size] | None = None

    @property
    def _kernel(self) -> tf.Tensor:
        return self.weights[0]["conv1"]["kernel"]

    def resized(self, size: Size) -> "Model":
        """Return the model for images of another height and width.

        Source: SinGAN's retargeting: noise of another size.
        """
        own = self.sizes if self.own is None else self.own
        height, width = own[-1]
        scaled = [
            (_times(h, size[0], height), _times(w, size[1], width))
            for h, w in own
        ]
        return self._replace(sizes=[*scaled[:-1], tuple(size)], own=own)

    def interpolated(self, other: "Model", strength, *, first=0) -> "Model":
        """Return the model with weights between those of two photographs.

        (1 - t) w + t w'. With one linear head per tensor this is the model of
        the embedding in between.

        Args:
          other: a model of the same run.
          strength: t, a floating scalar; 0 is this model, 1 the other.
          first: integer; scales below it keep the weights of this model.
        """
        strength = tf.convert_to_tensor(strength, self._kernel.dtype)
        pairs = zip(self.weights, other.weights, strict=True)
        mixed = []
        for scale, (own, its) in enumerate(pairs):
            t = tf.where(scale < first, tf.zeros_like(strength), strength)
            mixed.append(
                tf.nest.map_structure(
                    lambda a, b, t=t: (1.0 - t) * a + t * b, own, its
                )
            )
        return self._replace(weights=mixed)

    def noise(self, seed, n, scale: int) -> tf.Tensor:
        """Draw what a scale adds, before its amplitude."""
        return self.nets.draw(seed, self.weights, self.sizes[scale], scale, n)

    def rests(self) -> list[tf.Tensor | None]:
        """Return what every scale adds to the reconstruction: z* at first."""
        return [
            self.nets.rest(self.star, self.weights, self.sizes, i)
            for i in range(len(self.weights))
        ]

    def layout(self, random_from) -> Callable | None:
        """Return what keeps the photograph's layout in another size.

        z* stands for the photograph in its own size only. In another one the
        scales before `random_from` draw in that of the photograph, and what
        they draw is stretched.

        Args:
          random_from: see `sample`; integer or integer scalar.

        Returns:
          (scale, what it draws) -> what is to be drawn on from; None where
          nothing has to be kept. A growing generator begins with the small
          photograph in any size.
        """
        if self.own is None or not self.nets.enlarges:
            return None
        kept = tf.convert_to_tensor(random_from)

        def stretched():
            rebuilt = self._replace(sizes=self.own)
            drawn = self.nets.stages(self.weights, self.own, rebuilt.rests())
            return [
                resampling.resize(x, size)
                for x, size in zip(drawn, self.sizes, strict=False)
            ]

        def blank():
            kernel = self._kernel
            return [
                tf.zeros([1, 1, *size, kernel.shape[3]], kernel.dtype)
                for size in self.sizes[: len(self.weights)]
            ]

        stills = tf.cond(kept > 0, stretched, blank)
        return lambda scale, x: tf.where(kept > scale, stills[scale], x)

    def render(
        self, noises: Sequence, layout: Callable | None = None
    ) -> tf.Tensor:
        """Draw images from noise.

        Args:
          noises: for each trained scale as `noise` draws it, without its
            amplitude; None for none.
          layout: see the method of that name.
        """
        added = [
            None if x is None else x[tf.newaxis] * (amplitude if i else 1.0)
            for i, (x, amplitude) in enumerate(
                zip(noises, self.amplitudes[: len(noises)], strict=True)
            )
        ]
        keep = {} if layout is None else {"keep": layout}
        drawn = self.nets.climb(self.weights, self.sizes, added, **keep)
        return self._finish(drawn)

    def _finish(self, x) -> tf.Tensor:
        full = resampling.resize(x[0], self.sizes[-1])
        return tf.clip_by_value(full, -1.0, 1.0)

    def sample(self, seed, n, *, random_from=0) -> tf.Tensor:
        """Draw n images.

        Args:
          seed: int64 [2].
          n: number of images.
          random_from: scales before it are those of the reconstruction, so
            that the layout stays.
        """
        noises = self.noises(seed, n, random_from=random_from)
        return self.render(noises, self.layout(random_from))

    def sample_in_parts(self, seed, n: int, *, random_from=0) -> tf.Tensor:
        """Draw what `sample` does, a bounded number of pixels at a time.

        The widest layers of a photograph of 250 pixels take 25 MB for each
        image. Sizes have to be known, as they are outside of graphs.
        """
        noises = self.noises(seed, n, random_from=random_from)
        layout = self.layout(random_from)
        height, width = (int(side) for side in self.sizes[-1])
        at_once = max(1, _PIXELS_AT_ONCE // (height * width))
        parts = [
            self.render([x[first : first + at_once] for x in noises], layout)
            for first in range(0, n, at_once)
        ]
        return tf.concat(parts, 0)

    def noises(self, seed, n, *, random_from=0) -> list[tf.Tensor]:
        """Draw what `render` needs for the images of `sample`.

        Args:
          seed: int64 [2].
          n: number of images; integer or integer scalar.
          random_from: see `sample`; integer or integer scalar.
        """
        found = []
        for scale, rest in enumerate(self.rests()):
            drawn = self.noise(seed, n, scale)
            still = tf.zeros_like(drawn) if rest is None else rest
            found.append(tf.where(random_from > scale, still, drawn))
        return found

    def reconstruct(self) -> tf.Tensor:
        """Draw the photograph from z*: [1, H, W, C]."""
        return self.render(self.rests())

    def inject(self, image, scale: int) -> tf.Tensor:
        """Draw again what is finer than a scale, without noise.

        Args:
          image: [n, H, W, C] in the size of the photograph.
          scale: the first that draws, 1 or more; the image is made so small
            that it could come from the scale below. A growing generator takes
            it at its coarsest stage whatever the scale.

        Source: SinGAN, for paint-to-image, editing and harmonisation.
        """
        return self._finish(
            self.nets.inject(self.weights, self.sizes, image, scale)
        )

    def enlarge(self, image, factor: float, seed) -> tf.Tensor:
        """Draw an image `factor` times larger with the finest scale.

        In k equal steps of nearly 2^(1/3) each, with noise.

        Args:
          image: [n, H, W, C].
          factor: of both sides, above 1.
          seed: int64 [2].

        Source: SinGAN's super-resolution.
        """
        steps = max(1, round(3.0 * math.log2(factor)))
        height, width = image.shape[1:3]
        x = image[tf.newaxis]
        for step in range(1, steps + 1):
            grown = factor ** (step / steps)
            size = (round(height * grown), round(width * grown))
            border = 2 * pyramid.BORDER
            shape = [size[0] + border, size[1] + border, image.shape[-1]]
            noise = rng.normal(
                rng.fold(seed, _NOISE, step),
                [1, image.shape[0], *shape],
                image.dtype,
            )
            noise *= self.amplitudes[len(self.weights) - 1]
            x = self.nets.refine(self.weights[-1], x, size, noise)
        return tf.clip_by_value(x[0], -1.0, 1.0)


def _times(side, wanted, full):
    """Return side * wanted / full, rounded, at least 1; whole numbers."""
    rounded = (2 * side * wanted + full) // (2 * full)
    return tf.maximum(1, rounded) if tf.is_tensor(rounded) else max(1, rounded)
