"""Terms that keep the critic smooth."""

from collections.abc import Callable

import tensorflow as tf

from tf_metagan.core import numerics, rng

Penalty = Callable[..., tf.Tensor]
"""(critic, real, fake, seed) -> scalar; critic: [n, H, W, C] -> [n, 1], or
[n, h, w, 1] where patches are judged. The seed is int64 [2], or [n, 2]: one
for each image."""

_NORM_AXES = {"sample": (1, 2, 3), "pixel": (3,), "channel": (1, 2)}


def gradient(*, penalty_weight: float, penalty_norm: str) -> Penalty:
    """Pull the norm of the critic's input gradient to one between images.

    weight * E[(|grad_x D(x)|_2 - 1)^2],  x = e real + (1 - e) fake,
    e ~ U(0, 1), one per sample.

    Args:
      penalty_weight: weight, >= 0.
      penalty_norm: what one norm covers: "sample" (the definition for a critic
        with one score per image), "pixel" (all channels of one pixel),
        "channel" (all pixels of one channel). The mean runs over the samples
        and whatever the norm leaves.

    Source: Gulrajani et al. (2017), equation 3.
    Differs: the public FIGR program takes its norm over the channel axis,
      which is "pixel" here (`gradient_figr_as_published`); with one channel it
      pulls every single pixel's derivative to 1.
    """
    if penalty_norm not in _NORM_AXES:
        raise ValueError(
            f"penalty_norm={penalty_norm!r} is unknown. Use one of "
            f"{', '.join(_NORM_AXES)}: what one norm covers."
        )
    axes = _NORM_AXES[penalty_norm]

    def penalty(critic, real, fake, seed):
        e = _mixing(seed, real)
        slope = _input_gradient(critic, e * real + (1.0 - e) * fake)
        excess = numerics.norm(slope, axis=axes) - 1.0
        return penalty_weight * tf.reduce_mean(tf.square(excess))

    return penalty


def gradient_figr_as_published(*, penalty_weight: float) -> Penalty:
    """Penalise like `gradient` with one norm per pixel.

    Args:
      penalty_weight: weight, >= 0.

    Source: the public FIGR program; a slip for a critic with one score per
      image, kept to reproduce its results.
    """
    return gradient(penalty_weight=penalty_weight, penalty_norm="pixel")


def r1(*, penalty_weight: float) -> Penalty:
    """Pull the critic's input gradient to zero at real images.

    weight / 2 * E[|grad_x D(real)|_2^2]

    Args:
      penalty_weight: weight (gamma in the source), >= 0.

    Source: Mescheder et al. (2018), equation 9.
    """

    def penalty(critic, real, fake, seed):
        del fake, seed
        slope = _input_gradient(critic, real)
        squares = tf.reduce_sum(tf.square(slope), axis=[1, 2, 3])
        return 0.5 * penalty_weight * tf.reduce_mean(squares)

    return penalty


def none() -> Penalty:
    """Add nothing."""
    return lambda critic, real, fake, seed: tf.zeros([], real.dtype)


def _mixing(seed, real):
    """Draw U(0, 1) for each image, from its own seed where there is one."""
    if seed.shape.rank == 1:
        return rng.uniform(seed, [tf.shape(real)[0], 1, 1, 1], real.dtype)
    drawn = [
        rng.uniform(own, [1, 1, 1], real.dtype) for own in tf.unstack(seed)
    ]
    return tf.stack(drawn)


def _input_gradient(critic, images):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(critic(images))
    return tape.gradient(total, images)
