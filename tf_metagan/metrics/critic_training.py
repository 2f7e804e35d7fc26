"""Teach a critic its classes: order of images, distortions, steps."""

import dataclasses
import math
import time
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tf_metagan.core import rng
from tf_metagan.data import warp

_ORDER, _ALTER = range(2)  # streams of random numbers
_REPORTS = 20  # most lines of progress
_WARM_UP = 0.1  # share of the steps in which the rate rises


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a critic is trained.

    Attributes:
      steps: updates.
      batch_size: images of an update.
      rate: greatest step size; it rises to it during the first tenth and falls
        to zero along a cosine.
      weight_decay: of AdamW.
      label_smoothing: share of the probability given to all classes alike.
      affine: strength of random affine maps, 0 for none; see `distort`.
      elastic: root mean square of random displacements in pixels, 0 for none.
      seed: of order and distortions.
    """

    steps: int
    batch_size: int
    rate: float
    weight_decay: float
    label_smoothing: float
    affine: float
    elastic: float
    seed: int


def check(recipe: Recipe, *, num_images: int) -> None:
    """Refuse a recipe that does not go with a number of images.

    Raises:
      ValueError: there are fewer images than one batch has.
    """
    if num_images < recipe.batch_size:
        raise ValueError(
            f"--batch_size={recipe.batch_size} is more than the {num_images} "
            "images to learn from; expected at most as many. Use a smaller one."
        )


def train(
    model: keras.Model, images: np.ndarray, column: np.ndarray, recipe: Recipe
) -> None:
    """Train a network in place: AdamW with one cycle of the rate.

    Args:
      model: what `critic_network.build` returned.
      images: uint8 [n, H, W, C].
      column: integer [n], which column of the logits is right.
      recipe: how.

    Raises:
      FloatingPointError: the loss is not finite.
      ValueError: there are fewer images than one batch has.
    """
    check(recipe, num_images=len(images))
    steps, rate = recipe.steps, recipe.rate
    warm = max(1, round(steps * _WARM_UP))
    cycle = keras.optimizers.schedules.CosineDecay(
        rate / 10,
        max(1, steps - warm),
        warmup_target=rate,
        warmup_steps=warm,
    )
    student = keras.Model(model.input, model.outputs[1])
    student.compile(
        keras.optimizers.AdamW(cycle, weight_decay=recipe.weight_decay),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        jit_compile=False,
    )
    reports = max(n for n in range(1, _REPORTS + 1) if steps % n == 0)
    num_classes = model.outputs[1].shape[-1]
    student.fit(
        _batches(images, column, num_classes=num_classes, recipe=recipe),
        epochs=reports,
        steps_per_epoch=steps // reports,
        shuffle=False,
        verbose=0,
        callbacks=[_Report(steps // reports)],
    )


def _batches(
    images: np.ndarray, column: np.ndarray, *, num_classes: int, recipe: Recipe
) -> tf.data.Dataset:
    """Return (distorted images, one-hot labels), a pure function of the seed.

    Every image comes once before any comes again, but for those that do not
    fill a batch.
    """
    size, seed = recipe.batch_size, recipe.seed
    full = len(images) - len(images) % size
    generator = np.random.default_rng([seed, _ORDER])
    order = np.concatenate(
        [
            generator.permutation(len(images))[:full]
            for _ in range(math.ceil(recipe.steps * size / full))
        ]
    )
    order = order.reshape(-1, size)[: recipe.steps].astype(np.int32)
    pixels, columns = tf.constant(images), tf.constant(column)
    root = rng.make_seed(seed, _ALTER)

    def batch(step: tf.Tensor, rows: tf.Tensor):
        x = tf.cast(tf.gather(pixels, rows), tf.float32) / 127.5 - 1.0
        x = distort(
            x,
            rng.fold(root, step),
            affine=recipe.affine,
            elastic=recipe.elastic,
        )
        return x, tf.one_hot(tf.gather(columns, rows), num_classes)

    rows = tf.data.Dataset.from_tensor_slices(order)
    return rows.enumerate().map(batch).prefetch(1)


def distort(
    images: tf.Tensor, seed: tf.Tensor, *, affine: float, elastic: float
) -> tf.Tensor:
    """Draw slightly other versions of images: shift, turn, stretch, bend.

    At affine = 1 an image is turned by up to 15 degrees, each side is scaled
    by exp(u) with |u| <= 0.15, it is sheared by up to 0.15 and shifted by up to
    2.5 of 32 pixels, all uniform. What comes from outside is dark.

    Args:
      images: [n, H, W, C] in [-1, 1].
      seed: int64 [2].
      affine: factor of the ranges above; 0 leaves this out.
      elastic: strength of data.warp.elastic in pixels; 0 leaves it out.

    Returns:
      [n, H, W, C] in [-1, 1].
    """
    n, size = tf.shape(images)[0], images.shape[1]
    if affine:
        images = keras.ops.image.affine_transform(
            images,
            _affine_maps(rng.fold(seed, 0), n, size=size, strength=affine),
            interpolation="bilinear",
            fill_mode="constant",
            fill_value=-1.0,
        )
    if elastic:
        knots = rng.normal(rng.fold(seed, 1), [n, warp.GRID, warp.GRID, 2])
        images = warp.elastic(images, knots, strength=elastic)
    return images


def _affine_maps(
    seed: tf.Tensor, n: tf.Tensor, *, size: int, strength: float
) -> tf.Tensor:
    """Return [n, 8] rows for affine_transform, about the image's middle."""
    u = (2.0 * rng.uniform(seed, [n, 6]) - 1.0) * strength
    turn, wide, high, shear, right, down = tf.unstack(u, axis=1)
    turn = turn * math.radians(15.0)
    wide, high = tf.exp(0.15 * wide), tf.exp(0.15 * high)
    cos, sin, shear = tf.cos(turn), tf.sin(turn), 0.15 * shear
    a, b = wide * cos, wide * (shear * cos - sin)
    c, d = high * sin, high * (shear * sin + cos)
    middle, reach = (size - 1) / 2.0, 2.5 * size / 32.0
    x = middle + reach * right - (a + b) * middle
    y = middle + reach * down - (c + d) * middle
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)


class _Report(keras.callbacks.Callback):
    """Says how training goes, and stops it when the loss is not finite."""

    def __init__(self, steps: int):
        super().__init__()
        self._steps = steps
        self._began = time.monotonic()

    def on_epoch_end(
        self, epoch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        loss = (logs or {})["loss"]
        done = (epoch + 1) * self._steps
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the critic's loss is {loss} in the {self._steps} steps up to "
                f"step {done}; expected a finite number. Use a smaller --rate."
            )
        logging.info(
            "step %d: loss %.3f, %.0f s",
            done,
            loss,
            time.monotonic() - self._began,
        )
