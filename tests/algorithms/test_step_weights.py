"""How much each inner step counts in the outer objective."""

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.algorithms import step_weights

E = 20


def weights(meta_step, k, schedule="annealed"):
    return step_weights.step_weights(
        tf.constant(meta_step, tf.int64),
        inner_steps=k,
        schedule=schedule,
        annealing_steps=E,
        dtype=tf.float64,
    ).numpy()


def annealed(e, k):
    """The reference program of MAML++: E epochs, least share 0.03."""
    if e >= E:
        return np.eye(k)[-1]
    other = max(1 / k - e / (k * E), 0.03 / k)
    final = min(1 / k + e * (k - 1) / (k * E), 1 - (k - 1) * 0.03 / k)
    return np.array([other] * (k - 1) + [final])


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_annealed_weights_are_those_of_the_reference(k):
    for e in range(E + 3):
        found = weights(e, k)
        np.testing.assert_allclose(found, annealed(e, k), rtol=0, atol=1e-15)
        np.testing.assert_allclose(found.sum(), 1.0, rtol=0, atol=1e-15)
        assert np.all(found >= 0.0)
    if k > 1:
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(weights(1, k), annealed(2, k))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_annealed_weights_go_from_uniform_to_final(k):
    uniform, final = weights(0, k, "uniform"), weights(0, k, "final")
    np.testing.assert_array_equal(uniform, [1 / k] * k)
    np.testing.assert_array_equal(final, np.eye(k)[-1])
    np.testing.assert_allclose(weights(0, k), uniform, rtol=0, atol=1e-15)
    for meta_step in (E, E + 1, 10 * E):
        np.testing.assert_array_equal(weights(meta_step, k), final)


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"'half' is unknown\. Use"):
        weights(0, 2, "half")


@pytest.mark.parametrize("algo", ["maml", "fomaml"])
@pytest.mark.parametrize(
    "options", [{"step_weights": "annealed"}, {"annealing_steps": 3}], ids=str
)
def test_annealing_and_its_length_go_together(algo, options):
    with pytest.raises(ValueError, match=r"do not fit: .* Set both or neither"):
        problems.build(algo, **options)
