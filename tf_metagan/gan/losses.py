"""What each player minimises, as functions of the critic's scores."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Loss(NamedTuple):
    """One adversarial objective.

    Attributes:
      real: (scores of real images [n, 1]) -> scalar, a part of D's loss.
      fake: (scores of fakes [n, 1]) -> scalar, the other part of D's loss.
      generator: (scores of fakes [n, 1]) -> scalar that G minimises.
      zero_sum: c if generator(s) = -c fake(s) for all s, else None. Where it
        holds, one backward pass through D(fake) serves both players.
    """

    real: Callable[[tf.Tensor], tf.Tensor]
    fake: Callable[[tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]
    zero_sum: float | None

    def discriminator(self, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        """Return what D minimises: real(real scores) + fake(fake scores)."""
        return self.real(real) + self.fake(fake)


def wasserstein() -> Loss:
    """L_D = E[D(fake)] - E[D(real)],  L_G = -E[D(fake)].

    Source: Arjovsky et al. (2017); needs a penalty on D (`penalties`).
    """
    return Loss(
        real=lambda s: -tf.reduce_mean(s),
        fake=tf.reduce_mean,
        generator=lambda s: -tf.reduce_mean(s),
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
        real=lambda s: 0.5 * tf.reduce_mean(s),
        fake=lambda s: -0.5 * tf.reduce_mean(s),
        generator=tf.reduce_mean,
        zero_sum=2.0,
    )


def minimax() -> Loss:
    """L_D = -E[log p(real)] - E[log(1 - p(fake))],  L_G = E[log(1 - p(fake))].

    p is the logistic function of the score.

    Source: Goodfellow et al. (2014), equation 1.
    """
    return Loss(
        real=lambda s: tf.reduce_mean(tf.nn.softplus(-s)),
        fake=lambda s: tf.reduce_mean(tf.nn.softplus(s)),
        generator=lambda s: -tf.reduce_mean(tf.nn.softplus(s)),
        zero_sum=1.0,
    )


def non_saturating() -> Loss:
    """L_D as in `minimax`,  L_G = -E[log p(fake)].

    Source: Goodfellow et al. (2014), section 3.
    """
    return Loss(
        real=lambda s: tf.reduce_mean(tf.nn.softplus(-s)),
        fake=lambda s: tf.reduce_mean(tf.nn.softplus(s)),
        generator=lambda s: tf.reduce_mean(tf.nn.softplus(-s)),
        zero_sum=None,
    )


def hinge() -> Loss:
    """L_D = E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))], L_G = -E[D(fake)].

    Source: Lim and Ye (2017); Tran et al. (2017).
    """
    return Loss(
        real=lambda s: tf.reduce_mean(tf.nn.relu(1.0 - s)),
        fake=lambda s: tf.reduce_mean(tf.nn.relu(1.0 + s)),
        generator=lambda s: -tf.reduce_mean(s),
        zero_sum=None,
    )


def least_squares() -> Loss:
    """L_D = E[(D(real) - 1)^2]/2 + E[D(fake)^2]/2, L_G = E[(D(fake) - 1)^2]/2.

    Source: Mao et al. (2017), equation 9 (a = 0, b = c = 1).
    """
    return Loss(
        real=lambda s: 0.5 * tf.reduce_mean(tf.square(s - 1.0)),
        fake=lambda s: 0.5 * tf.reduce_mean(tf.square(s)),
        generator=lambda s: 0.5 * tf.reduce_mean(tf.square(s - 1.0)),
        zero_sum=None,
    )
