"""The growing generator: what a stage adds, what learns and how fast."""

import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests.gan.test_internal import distance
from tests.gan.test_singan import check_continued, played, shaken
from tf_metagan.core import rng
from tf_metagan.gan import pyramid, resampling, scale_sizes


def parts(leaves):
    return {"/".join(x.split("/")[:-1]) for x in leaves}


def test_a_stage_begins_as_a_copy_and_discriminator_goes_on():
    game = small.growing()
    before = shaken(game.init(0))
    after = game.grow(before)
    check_continued(before, after, 1)
    with pytest.raises(AssertionError):
        check_continued(before, game.grow(game.init(0)), 1)
    assert not [x for x in after.params["d"] if x.startswith("scale0/")]


def test_newest_stages_learn_more_slowly_the_older_they_are():
    game = small.growing(trained_stages=2)
    convs = ("conv1", "conv2", "conv3")
    vars = game.init(0)
    assert parts(game.learned(vars.params)["g"]) == {
        "outer/head",
        "outer/tail",
        *(f"scale0/{x}" for x in convs),
    }
    vars = small.at_scale(game, 2)
    learned = game.learned(vars.params)
    assert parts(learned["g"]) == {
        "outer/tail",
        *(f"scale{i}/{x}" for i in (1, 2) for x in convs),
    }
    assert learned["d"].keys() == vars.params["d"].keys()
    rates = game.rates(vars.params)["g"]
    assert parts(rates) == {f"scale1/{x}" for x in convs}
    assert set(rates.values()) == {0.1}
    three = small.growing().rates(vars.params)["g"]
    assert three["scale0/conv1/kernel"] == pytest.approx(0.01)
    assert three["outer/head/bias"] == pytest.approx(0.01)


@pytest.mark.parametrize("scale", [0, 2])
def test_every_leaf_that_learns_has_a_gradient(scale):
    game = small.growing(trained_stages=2)
    vars = shaken(small.at_scale(game, scale))
    found, _ = played(game, vars)
    for player, leaves in game.learned(vars.params).items():
        assert found[player].keys() == leaves.keys()
        for leaf, slope in found[player].items():
            assert np.abs(slope).max() > 0, (player, leaf)


def leaky(x):
    return tf.where(x > 0, x, 0.05 * x)


def conv(x, weights, name):
    x = tf.nn.conv2d(x, weights[f"{name}/kernel"], 1, "VALID")
    return x + weights[f"{name}/bias"]


def pad(x, border=1):
    return tf.pad(x, [[0, 0], [border] * 2, [border] * 2, [0, 0]])


def drawn_again(weights, z, noise, sizes, *, copy=True):
    """Draw by two stages once more, without loops."""
    f = leaky(conv(pad(z), weights, "outer/head"))
    f = pad(resampling.resize(f, (sizes[0][0] + 2, sizes[0][1] + 2)), 2)
    for i in (1, 2, 3):
        f = leaky(conv(f, weights, f"scale0/conv{i}"))
    u = resampling.resize(f, sizes[1])
    f = resampling.resize(f, (sizes[1][0] + 6, sizes[1][1] + 6)) + noise
    for i in (1, 2, 3):
        f = leaky(conv(f, weights, f"scale1/conv{i}"))
    f = f + u if copy else f
    return tf.tanh(conv(pad(f), weights, "outer/tail"))


def test_what_two_stages_draw():
    game = small.growing(noise_amplitude="constant")
    vars = shaken(small.at_scale(game, 1))
    own = game.remember(vars, small.tasks(1).support[0])
    model = game.model(own)
    model = model._replace(sizes=model.sizes[:2])
    seed = rng.make_seed(0)
    z, noise = (model.noise(seed, 2, i) for i in range(2))
    assert noise.shape[-1] == 4
    weights = vars.params["g"]
    expected = drawn_again(weights, z, noise, model.sizes)
    assert distance(model.sample(seed, 2), expected) < 1e-9
    wrong = drawn_again(weights, z, noise, model.sizes, copy=False)
    with pytest.raises(AssertionError):
        assert distance(wrong, expected) < 1e-9


def test_reconstruction_begins_with_the_photograph():
    game = small.growing()
    vars = shaken(small.at_scale(game, 1))
    support = small.tasks(1).support[0]
    model = game.model(game.remember(vars, support))
    start, fixed = model.rests()
    small_one = pyramid.shrink(support[0], model.sizes[0])
    np.testing.assert_allclose(start, small_one, atol=1e-12)
    np.testing.assert_array_equal(fixed, model.rests()[1])
    assert np.abs(fixed).max() > 0
    other = game.model(game.remember(vars, small.tasks(1, seed=1).support[0]))
    assert np.abs(other.rests()[0] - start).max() > 0.01


def test_amplitude_is_a_tenth_of_the_error_without_it():
    game = small.growing()
    vars = shaken(small.at_scale(game, 1))
    support = small.tasks(1).support[0]
    model = game.model(game.remember(vars, support))
    model = model._replace(sizes=model.sizes[:2])
    silent = model.render([model.rests()[0], None])
    error = silent - pyramid.shrink(support[0], model.sizes[1])
    expected = 0.1 * np.sqrt(np.mean(error**2))
    _, outcome = played(game, vars)
    assert distance(outcome.state["g"]["amplitude/sum"][1], expected) < 1e-9


def test_injected_picture_enters_at_the_coarsest_stage():
    game = small.growing()
    vars = shaken(small.at_scale(game, 1))
    model = game.model(game.remember(vars, small.tasks(1).support[0]))
    picture = small.photographs(small.tasks(1, seed=4))
    start = pyramid.shrink(picture, model.sizes[0])
    expected = model.render([start, None])
    np.testing.assert_allclose(model.inject(picture, 1), expected, atol=1e-12)
    assert not model.nets.enlarges


def test_published_sizes():
    found = scale_sizes.dense_widths(250, smallest_size=25, stages=6)
    ratio = 0.1 ** (1 / 5)
    # By hand: exponents 5, 4.445, 3.730, 2.723 and 1 of the ratio.
    powers = (5.0, 4.4455, 3.7305, 2.7227, 1.0)
    expected = [*(np.ceil(250 * ratio**x - 1e-3) for x in powers), 250]
    assert list(found) == expected
    with pytest.raises(ValueError, match="leaves no pyramid below"):
        scale_sizes.dense_widths(25, smallest_size=25, stages=6)
