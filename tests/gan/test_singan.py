"""The game of one photograph: what grows, what learns, what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests.gan.test_internal import ROUNDING, distance
from tf_metagan.core import rng, tree
from tf_metagan.gan import pyramid, resampling, scale_sizes

# tf.math.rsqrt in double precision is good to 1e-8.
ROOT = 1e-6


def newest(params, player, scale):
    prefix = f"scale{scale}/"
    return {
        x.removeprefix(prefix): w
        for x, w in params[player].items()
        if x.startswith(prefix)
    }


def played(game, vars, *, height=18, wrt=None):
    """Return ({player: {leaf: gradient}}, Outcome)."""
    batch = small.tasks(1, height=height)
    if wrt is None:
        wrt = {p: tuple(x) for p, x in game.learned(vars.params).items()}
    images = small.photographs(batch)
    return game.gradients(vars, images, None, batch.seed, wrt)


def test_graphs_give_the_gradients_of_eager_mode():
    game = small.singan()
    vars, batch = shaken(small.at_scale(game, 1)), small.tasks(1)
    wrt = {"d": ("scale1/conv5/kernel",), "g": ("scale1/conv1/kernel",)}

    @tf.function(autograph=False)
    def traced(vars, images, seed):
        found, outcome = game.gradients(vars, images, None, seed, wrt)
        return found, outcome.state

    found, state = traced(vars, small.photographs(batch), batch.seed)
    expected, outcome = played(game, vars, wrt=wrt)
    assert distance(found, expected) < ROOT
    name = "amplitude/sum"
    assert distance(state["g"][name], outcome.state["g"][name]) < ROOT


def shaken(vars, seed=0):
    """Return `vars` with other weights than those that were drawn."""
    draw = np.random.default_rng(seed)
    params = tf.nest.map_structure(
        lambda w: w + 0.1 * draw.normal(size=w.shape), vars.params
    )
    return vars._replace(params=params)


def check_continued(before, after, scale):
    """A scale begins with the weights of the one below, of both players."""
    for player in ("d", "g"):
        below = newest(before.params, player, scale - 1)
        tf.nest.map_structure(
            np.testing.assert_array_equal,
            newest(after.params, player, scale),
            below,
        )


def test_a_new_scale_begins_with_the_weights_below():
    game = small.singan()
    before = shaken(game.init(0))
    after = game.grow(before)
    check_continued(before, after, 1)
    fresh = game.init(0)  # D afresh, as if each scale began its own
    with pytest.raises(AssertionError):
        check_continued(before, game.grow(fresh), 1)
    assert not newest(after.params, "d", 0)
    np.testing.assert_array_equal(
        after.params["g"]["scale0/conv1/kernel"],
        before.params["g"]["scale0/conv1/kernel"],
    )


def test_width_doubles_every_four_scales_and_begins_afresh():
    game = small.singan()
    vars = small.at_scale(game, 8)
    kernels = [
        vars.params["g"][f"scale{i}/conv2/kernel"].shape[-1] for i in range(9)
    ]
    assert kernels == [4] * 4 + [8] * 4 + [16]
    assert vars.params["d"]["scale8/conv1/kernel"].shape == (3, 3, 3, 16)
    wide = small.at_scale(game, 40).params["g"]["scale40/conv2/kernel"]
    assert wide.shape[-1] == 16


def test_weights_at_the_start():
    game = small.singan(width=64)
    own = game.init(0).params["g"]
    # 36,864 draws: the deviation is known to 0.4 %.
    assert np.std(own["scale0/conv2/kernel"]) == pytest.approx(0.02, rel=0.02)
    gamma = own["scale0/conv1/gamma"].numpy()
    assert abs(gamma.mean() - 1.0) < 0.02
    assert 0.01 < gamma.std() < 0.03
    assert not own["scale0/conv1/beta"].numpy().any()
    bias = np.abs(own["scale0/conv5/bias"])
    assert 0 < bias.max() <= 1 / np.sqrt(9 * 64)
    other = game.init(1).params["g"]["scale0/conv2/kernel"]
    assert np.abs(own["scale0/conv2/kernel"] - other).max() > 0


def test_only_the_newest_scale_learns_and_every_leaf_of_it():
    game = small.singan()
    vars = shaken(small.at_scale(game, 2))
    found, _ = played(game, vars)
    for player in ("d", "g"):
        assert {x.split("/")[0] for x in found[player]} == {"scale2"}
        for leaf, slope in found[player].items():
            assert np.abs(slope).max() > 0, (player, leaf)


def normalised_stack(x, weights, axes=(1, 2)):
    """Run a stack once more, its norms in NumPy."""
    for i in range(1, 6):
        layer = weights[f"conv{i}"]
        x = tf.nn.conv2d(x, layer["kernel"], 1, "VALID")
        if i == 5:
            return (x + layer["bias"]).numpy()
        mean = x.numpy().mean(axes, keepdims=True)
        variance = x.numpy().var(axes, keepdims=True)
        x = (x - mean) / np.sqrt(variance + 1e-5)
        x = layer["gamma"] * x + layer["beta"]
        x = tf.where(x > 0, x, 0.2 * x)
    raise AssertionError


@pytest.mark.parametrize("player", ["d", "g"])
def test_stack_normalises_every_image_by_itself(player):
    game = small.singan()
    vars = shaken(game.init(0))
    weights = pyramid.layers_of(vars.params[player], "scale0/")
    nets = game.model(game.remember(vars, small.tasks(1).support[0])).nets
    images = tf.constant(np.random.default_rng(0).normal(size=[2, 14, 15, 3]))
    expected = normalised_stack(images, weights)
    for models, form in ((1, images[tf.newaxis]), (2, images[:, tf.newaxis])):
        stacked = tf.nest.map_structure(
            lambda w, n=models: tf.stack([w] * n), weights
        )
        found = np.reshape(nets.run(stacked, form), expected.shape)
        assert distance(found, expected) < ROOT
    together = normalised_stack(images, weights, axes=(0, 1, 2))
    with pytest.raises(AssertionError):
        assert distance(together, expected) < ROOT


def test_coarsest_noise_has_equal_channels():
    game = small.singan()
    model = game.model(shaken(small.at_scale(game, 1)))
    seed = rng.make_seed(0)

    def check(noise):
        np.testing.assert_array_equal(noise[..., 0], noise[..., 2])

    check(model.noise(seed, 2, 0))
    check(model.rests()[0])
    with pytest.raises(AssertionError):
        check(model.noise(seed, 2, 1))
    plain = small.game()
    with pytest.raises(AssertionError):
        check(plain.model(small.at_scale(plain, 1)).rests()[0])


def test_reconstruction_of_training_is_that_of_the_model():
    game = small.singan()
    vars = shaken(small.at_scale(game, 1))
    _, outcome = played(game, vars)
    support = small.tasks(1).support[0]
    # Scale 1 of three is 20 wide; the model enlarges it to 24.
    model = game.model(game.remember(vars, support))
    model = model._replace(sizes=model.sizes[:2])
    target = pyramid.shrink(support[0], model.sizes[-1])
    error = np.mean((model.reconstruct() - target) ** 2)
    assert distance(outcome.metrics["rec_loss"], error) < 0.1  # clipped there


def test_amplitude_is_a_tenth_of_the_error_at_the_start():
    game = small.singan()
    vars = shaken(small.at_scale(game, 1))
    support = small.tasks(1).support[0]
    model = game.model(game.remember(vars, support))
    coarse = model._replace(
        weights=model.weights[:1], sizes=[*model.sizes[:1], model.sizes[0]]
    )
    below = resampling.resize(coarse.reconstruct(), model.sizes[1])
    target = pyramid.shrink(support[0], model.sizes[1])
    expected = 0.1 * np.sqrt(np.mean((below - target) ** 2))
    _, outcome = played(game, vars, wrt={"d": ("scale1/conv1/kernel",)})
    begun = outcome.state["g"]
    np.testing.assert_array_equal(begun["amplitude/weight"], [0, 1, 0])
    assert distance(begun["amplitude/sum"][1], expected) < ROUNDING
    later = shaken(vars._replace(state=outcome.state), seed=1)
    kept = played(game, later)[1].state["g"]
    np.testing.assert_array_equal(kept["amplitude/sum"], begun["amplitude/sum"])
    average = small.singan(noise_amplitude="moving_average")
    moved = played(average, vars)[1].state["g"]
    with pytest.raises(AssertionError):
        assert distance(moved["amplitude/sum"][1], expected) < ROUNDING


def test_samples_are_of_the_model_and_not_of_what_is_given():
    game = small.singan(noise_amplitude="constant")
    vars = shaken(small.at_scale(game, 1))
    seed = rng.make_seed(3)
    one, other = (
        game.remember(vars, small.tasks(1, seed=s).support[0]) for s in (0, 1)
    )
    drawn = game.sample(one, seed, 3)
    np.testing.assert_array_equal(drawn, game.sample(other, seed, 3))
    np.testing.assert_allclose(game.sample(one, seed, 2), drawn[:2], atol=1e-12)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    high = game.remember(vars, small.tasks(1, height=30).support[0])
    assert game.sample(high, seed, 1).shape == (1, 30, 24, 3)


def test_layout_in_another_size_is_that_of_the_photograph():
    game = small.singan(noise_amplitude="constant")
    vars = shaken(small.at_scale(game, 2))
    model = game.model(game.remember(vars, small.tasks(1).support[0]))
    size, seed = (30, 52), rng.make_seed(3)
    wide = model.resized(size)
    assert wide.resized((18, 24)).sizes == model.sizes

    def drawn(random_from):
        return wide.sample(seed, 2, random_from=random_from)

    stages = model.nets.stages(model.weights, model.sizes, model.rests())
    still = tf.clip_by_value(resampling.resize(stages[-1][0], size), -1, 1)
    np.testing.assert_allclose(drawn(3)[:1], still, atol=1e-9)
    np.testing.assert_allclose(drawn(3)[1:], still, atol=1e-9)
    # One scale with noise, drawn from what is kept of the scale below.
    below = resampling.resize(stages[1], wide.sizes[1])
    noise = wide.noise(seed, 2, 2)[tf.newaxis]
    last = model.nets.refine(model.weights[2], below, wide.sizes[2], noise)
    expected = tf.clip_by_value(last[0], -1, 1)
    np.testing.assert_allclose(drawn(2), expected, atol=1e-9)
    # z* drawn in the other size is no photograph.
    other = wide.render(wide.rests())
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(drawn(3)[:1], other, atol=0.05)
    # In its own size all is as before.
    own = model.resized((18, 24)).sample(seed, 2, random_from=1)
    np.testing.assert_allclose(
        own, model.sample(seed, 2, random_from=1), atol=1e-9
    )


def test_the_photograph_is_known_again():
    game = small.singan()
    vars = game.init(0)
    batch = small.tasks(2)
    own, other = small.photographs(batch)
    assert not game.knows(vars, own)  # nothing is trained yet
    after = tree.merge(vars.state, played(game, vars)[1].state)
    trained = vars._replace(state=after)
    assert game.knows(trained, own)
    assert game.knows(trained, tf.cast(own, tf.float32))
    assert not game.knows(trained, other)
    assert small.game().knows(small.game().init(0), own)


def test_grey_photograph():
    game = small.singan(channels=1)
    vars = small.at_scale(game, 1)
    own = game.remember(vars, small.tasks(1, channels=1).support[0])
    assert game.sample(own, rng.make_seed(0), 2).shape == (2, 18, 24, 1)


def test_published_sizes():
    widths = scale_sizes.widths(
        250, smallest_size=34, scale_factor=0.75, pyramid_sizes="exact"
    )
    sizes = scale_sizes.sizes(187, widths)
    assert len(sizes) == 9
    assert sizes[0] == (25, 34)
    assert sizes[-1] == (187, 250)
