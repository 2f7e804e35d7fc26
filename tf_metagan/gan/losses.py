"""What each player minimises, as functions of the critic's scores."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Loss(NamedTuple):
    """One adversarial objective.

    Attributes:
      discriminator: (real scores [n, 1], fake scores [n, 1]) -> scalar that D
        minimises.
      generator: (fake scores [n, 1]) -> scalar that G minimises.
      zero_sum: c if G's loss is -c times the part of D's loss that depends on
        the fake scores, else None. Where it holds, one backward pass through
        D(fake) serves both players.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]
    zero_sum: float | None


def wasserstein() -> Loss:
    """L_D = E[D(fake)] - E[D(real)],  L_G = -E[D(fake)].

    Source: Arjovsky et al. (2017); needs a penalty on D (`penalties`).
    """
    return Loss(
        lambda real, fake: tf.reduce_mean(fake) - tf.reduce_mean(real),
        lambda fake: -tf.reduce_mean(fake),
        zero_sum=1.0,
    )


def wasserstein_figr_as_published() -> Loss:
    """L_D = (E[D(real)] - E[D(fake)]) / 2,  L_G = E[D(fake)].

    Source: the public FIGR program: y * D(x) averaged over real and fake
      images together, y = +1 for real ones, so that real images score low.
    Differs: sign turned and halved against `wasserstein`; a penalty weight of
      10 acts like 20 there.
    """
    return Loss(
        lambda real, fake: 0.5 * (tf.reduce_mean(real) - tf.reduce_mean(fake)),
        lambda fake: tf.reduce_mean(fake),
        zero_sum=2.0,
    )


def minimax() -> Loss:
    """L_D = -E[log s(real)] - E[log(1 - s(fake))],  L_G = E[log(1 - s(fake))].

    s is the logistic function of the score.

    Source: Goodfellow et al. (2014), equation 1.
    """
    return Loss(
        _logistic,
        lambda fake: -tf.reduce_mean(tf.nn.softplus(fake)),
        zero_sum=1.0,
    )


def non_saturating() -> Loss:
    """L_D as in `minimax`,  L_G = -E[log s(fake)].

    Source: Goodfellow et al. (2014), section 3.
    """
    return Loss(
        _logistic,
        lambda fake: tf.reduce_mean(tf.nn.softplus(-fake)),
        zero_sum=None,
    )


def hinge() -> Loss:
    """L_D = E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))], L_G = -E[D(fake)].

    Source: Lim and Ye (2017); Tran et al. (2017).
    """
    return Loss(
        lambda real, fake: (
            tf.reduce_mean(tf.nn.relu(1.0 - real))
            + tf.reduce_mean(tf.nn.relu(1.0 + fake))
        ),
        lambda fake: -tf.reduce_mean(fake),
        zero_sum=None,
    )


def least_squares() -> Loss:
    """L_D = E[(D(real) - 1)^2]/2 + E[D(fake)^2]/2, L_G = E[(D(fake) - 1)^2]/2.

    Source: Mao et al. (2017), equation 9 (a = 0, b = c = 1).
    """
    return Loss(
        lambda real, fake: (
            0.5 * tf.reduce_mean(tf.square(real - 1.0))
            + 0.5 * tf.reduce_mean(tf.square(fake))
        ),
        lambda fake: 0.5 * tf.reduce_mean(tf.square(fake - 1.0)),
        zero_sum=None,
    )


def _logistic(real, fake):
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(
        tf.nn.softplus(fake)
    )
