"""Losses equal their formulas; `zero_sum` says what it says."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import registry

REAL = np.array([[0.3], [-1.5], [2.0], [0.9]])
FAKE = np.array([[-0.2], [1.7], [-2.5], [0.4]])

every_loss = pytest.mark.parametrize("name", registry.LOSSES)


def find(name):
    return registry.find(registry.LOSSES, name)()


def log_s(x):
    return np.log(1.0 / (1.0 + np.exp(-x)))


# (discriminator's, generator's) as the papers print them.
CLOSED_FORMS = {
    "wasserstein": lambda r, f: (np.mean(f) - np.mean(r), -np.mean(f)),
    "minimax": lambda r, f: (
        -np.mean(log_s(r)) - np.mean(log_s(-f)),
        np.mean(log_s(-f)),
    ),
    "non_saturating": lambda r, f: (
        -np.mean(log_s(r)) - np.mean(log_s(-f)),
        -np.mean(log_s(f)),
    ),
    "hinge": lambda r, f: (
        -np.mean(np.minimum(0, r - 1)) - np.mean(np.minimum(0, -f - 1)),
        -np.mean(f),
    ),
    "least_squares": lambda r, f: (
        np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
        np.mean((f - 1) ** 2) / 2,
    ),
    # y D(x) averaged over 2n images, y = +1 for real ones, -1 for fake ones.
    "wasserstein_figr_as_published": lambda r, f: (
        np.mean(np.concatenate([r, -f])),
        np.mean(f),
    ),
}


def check_values(loss, closed_form):
    d, g = closed_form(REAL, FAKE)
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    # A mean of four: a handful of roundings.
    np.testing.assert_allclose(loss.discriminator(real, fake), d, rtol=1e-14)
    np.testing.assert_allclose(loss.generator(fake), g, rtol=1e-14)


def test_every_loss_has_a_closed_form_here():
    assert set(CLOSED_FORMS) == set(registry.LOSSES)


@every_loss
def test_loss_equals_its_formula(name):
    check_values(find(name), CLOSED_FORMS[name])


@every_loss
def test_loss_differs_from_every_other_one(name):
    for other in set(registry.LOSSES) - {name}:
        with pytest.raises(AssertionError):
            check_values(find(name), CLOSED_FORMS[other])


def gradients(loss, real=REAL, fake=FAKE):
    """Return dL_D/dfake, dL_G/dfake and dL_D/dreal."""
    real, fake = tf.constant(real), tf.constant(fake)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((real, fake))
        d, g = loss.discriminator(real, fake), loss.generator(fake)
    return (
        tape.gradient(d, fake).numpy(),
        tape.gradient(g, fake).numpy(),
        tape.gradient(d, real).numpy(),
    )


def check_zero_sum(loss):
    """L_G = -c times D's part on fakes, in value and slope, at any scores."""
    d, g, _ = gradients(loss)
    np.testing.assert_allclose(g, -loss.zero_sum * d, rtol=1e-14)
    fake = tf.constant(FAKE)
    np.testing.assert_allclose(
        loss.generator(fake), -loss.zero_sum * loss.fake(fake), rtol=1e-14
    )


def test_constant_between_the_players_is_noticed():
    """Slopes alone would let it pass; the game takes L_G from the rule."""
    loss = find("wasserstein")
    shifted = loss._replace(generator=lambda s: 1.0 - tf.reduce_mean(s))
    with pytest.raises(AssertionError):
        check_zero_sum(shifted)


ZERO_SUM = {"wasserstein": 1.0, "minimax": 1.0}
ZERO_SUM["wasserstein_figr_as_published"] = 2.0


@every_loss
def test_zero_sum_constant_holds_where_it_is_claimed_and_only_there(name):
    loss = find(name)
    assert loss.zero_sum == ZERO_SUM.get(name)
    if loss.zero_sum is not None:
        check_zero_sum(loss)
        doubled = loss._replace(zero_sum=2.0 * loss.zero_sum)
        with pytest.raises(AssertionError):
            check_zero_sum(doubled)
        return
    d, g, _ = gradients(loss)
    for best in (-np.sum(g * d) / np.sum(d * d), -np.mean(g) / np.mean(d), 1.0):
        with pytest.raises(AssertionError):
            check_zero_sum(loss._replace(zero_sum=best))


@every_loss
def test_discriminator_separates_and_generator_closes_the_gap(name):
    """D raises real scores where G raises fake ones (FIGR: lowers both)."""
    between = np.array([[0.1], [0.5], [0.8]])  # where least squares agree
    d, g, real = gradients(find(name), between, between[::-1])
    sign = 1.0 if name == "wasserstein_figr_as_published" else -1.0
    assert np.all(sign * real > 0.0)
    assert np.all(sign * g > 0.0)
    assert np.all(sign * d < 0.0)


@every_loss
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_loss_and_slope_are_finite_at_extreme_scores(name, dtype):
    loss = find(name)
    fake = tf.constant([[-1e4], [0.0], [1e4]], dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake)
        values = loss.discriminator(fake, fake), loss.generator(fake)
    for value in values:
        assert value.shape == ()
        assert value.dtype == dtype
        assert np.isfinite(value)
        assert np.all(np.isfinite(tape.gradient(value, fake)))


def test_naive_logarithms_would_not_be_finite():
    fake = tf.constant([[1e4]])
    assert not np.isfinite(tf.reduce_mean(tf.math.log(1 - tf.sigmoid(fake))))
