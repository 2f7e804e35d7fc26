"""The game of internal learning: what learns, what stays, what is drawn."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests import problems
from tf_metagan.core import rng, tree
from tf_metagan.core.inner import InnerRule
from tf_metagan.gan import finetuning, pyramid, resampling

# Sums of some thousand terms in another order, in double precision.
ROUNDING = 1e-9


def distance(a, b):
    """Return the largest difference relative to the largest entry."""
    a, b = (
        np.concatenate([np.ravel(x) for x in tf.nest.flatten(t)])
        for t in (a, b)
    )
    return np.abs(a - b).max() / np.abs(a).max()


@functools.cache
def gradients(convolution, count):
    """Return ({player: {leaf: gradient}}, Outcome) at the start of scale 1."""
    game = small.game(convolution=convolution)
    vars, batch = small.at_scale(game, 1), small.tasks(2)
    wrt = {p: tuple(x) for p, x in game.learned(vars.params).items()}

    images = small.photographs(batch)[:count]
    return game.gradients(vars, images, None, batch.seed[:count], wrt)


def test_photographs_one_by_one_are_photographs_together():
    alone, first = gradients("loop", 2)
    beside, second = gradients("patches", 2)
    for player in ("d", "g"):
        assert distance(alone[player], beside[player]) < ROUNDING
        assert distance(first.loss[player], second.loss[player]) < ROUNDING
    assert distance(first.state, second.state) < ROUNDING
    fewer, _ = gradients("loop", 1)
    with pytest.raises(AssertionError):
        assert distance(fewer["g"], beside["g"]) < ROUNDING


def test_heads_of_older_scales_have_no_gradient():
    found, _ = gradients("loop", 2)
    scales = {x.split("/")[0] for x in found["g"]}
    assert scales == {"embed", "scale1"}
    assert {x.split("/")[0] for x in found["d"]} == {"embed", "heads"}
    for leaf, slope in found["g"].items():
        assert np.abs(slope).max() > 0, leaf


def test_the_embedding_learns_through_the_heads_of_all_scales():
    game = small.game()
    vars, batch = small.at_scale(game, 1), small.tasks()

    def slope(vars):
        wrt = {"g": ("embed/stem/kernel",)}
        found, _ = game.gradients(
            vars, small.photographs(batch), None, batch.seed, wrt
        )
        return found["g"]

    whole = slope(vars)
    coarse = {
        x: tf.zeros_like(w)
        for x, w in vars.params["g"].items()
        if x.startswith("scale0/") and x.endswith("/weights")
    }
    without = vars._replace(params=tree.merge(vars.params, {"g": coarse}))
    assert distance(slope(without), whole) > 0.01


def test_a_new_scale_begins_with_a_copy_of_the_one_below():
    game = small.game()
    vars = small.at_scale(game, 2)
    own = vars.params["g"]
    for leaf, x in own.items():
        if leaf.startswith("scale2/"):
            below = own[leaf.replace("scale2/", "scale1/")]
            np.testing.assert_array_equal(x, below)
    assert game.phases == len(small.WIDTHS)


def test_numbers_of_generated_values_and_heads():
    for player, expected in (("g", 114_307), ("d", 113_153)):
        layers = pyramid.stack(3, 64, slope=0.02, player=player)
        shapes = [s for x in layers for s in x.shapes().values()]
        values = sum(int(np.prod(s)) for s in shapes)
        assert values == expected
        assert 513 * values == {"g": 58_639_491, "d": 58_047_489}[player]


def test_heads_of_a_game_have_features_plus_one_numbers_per_value():
    game = small.game()
    vars = small.at_scale(game, 0)
    layers = pyramid.stack(3, 4, slope=0.02, player="g")
    values = sum(int(np.prod(s)) for x in layers for s in x.shapes().values())
    heads = sum(
        int(np.prod(w.shape))
        for x, w in vars.params["g"].items()
        if x.startswith("scale0/")
    )
    assert heads == (6 + 1) * values


def test_losses_by_hand():
    """At the coarsest scale, with the stacks written as Keras does."""
    game = small.game()
    vars, batch = small.at_scale(game, 0), small.tasks(1)
    image = small.photographs(batch)
    outcome = game.losses(vars, image, None, batch.seed)
    memory = game.remember(vars, batch.support[0]).state["memory"]

    def stack(x, weights):
        for i in range(1, 6):
            x = tf.nn.conv2d(x, weights[f"conv{i}/kernel"][0], 1, "VALID")
            x += weights[f"conv{i}/bias"][0]
            x = tf.where(x > 0, x, 0.02 * x) if i < 5 else x
        return x

    weights = {
        x.removeprefix("scale0/"): w
        for x, w in memory.items()
        if x.startswith("scale0/")
    }
    star = rng.normal(vars.state["g"]["z_star"], [1, 12, 16, 3], tf.float64)
    padded = tf.pad(star, [[0, 0], [5, 5], [5, 5], [0, 0]])
    rebuilt = tf.tanh(stack(padded, weights))
    target = resampling.resize(image, (12, 16), resampling.bicubic)
    target = tf.clip_by_value(target, -1, 1)
    error = tf.reduce_mean((rebuilt - target) ** 2)
    assert distance(outcome.metrics["rec_loss"], error) < ROUNDING
    judged = outcome.loss["g"] - 50.0 * error
    shown = outcome.metrics["wasserstein_estimate"]
    smooth = outcome.metrics["gradient_penalty"]
    assert distance(outcome.loss["d"], smooth - shown) < ROUNDING
    assert abs(judged) < abs(50.0 * error)


def test_amplitude_is_the_average_of_the_errors_of_its_scale():
    game = small.game()
    vars, batch = small.at_scale(game, 1), small.tasks()
    decay, total, weight = 0.99, 0.0, 0.0
    for seed in range(3):
        images = small.photographs(small.tasks(seed=seed))
        outcome = game.losses(vars, images, None, batch.seed)
        root = np.sqrt(outcome.metrics["rec_loss"])
        total = decay * total + (1 - decay) * root
        weight = decay * weight + (1 - decay)
        vars = vars._replace(state=outcome.state)
    state = vars.state["g"]
    found = (state["amplitude/sum"] / state["amplitude/weight"])[1]
    assert distance(found, total / weight) < ROUNDING
    assert distance(found, root) > 1e-3  # the last batch alone
    assert state["amplitude/weight"][0] == 0.0
    assert state["amplitude/weight"][2] == 0.0


def test_amplitude_as_published_is_that_of_the_last_batch():
    game = small.game(noise_amplitude="last_batch_as_published")
    vars, batch = small.at_scale(game, 1), small.tasks()
    for seed in range(2):
        images = small.photographs(small.tasks(seed=seed))
        outcome = game.losses(vars, images, None, batch.seed)
        vars = vars._replace(state=outcome.state)
    state = vars.state["g"]
    found = (state["amplitude/sum"] / state["amplitude/weight"])[1]
    assert distance(found, np.sqrt(outcome.metrics["rec_loss"])) < ROUNDING


def test_samples_differ_and_the_reconstruction_does_not():
    game = small.game(noise_amplitude="constant")
    vars, batch = small.at_scale(game, 1), small.tasks(1)
    own = game.remember(vars, batch.support[0])
    seed = rng.make_seed(3)
    drawn = game.sample(own, seed, 3)
    assert drawn.shape == (3, 18, 24, 3)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    np.testing.assert_array_equal(drawn, game.sample(own, seed, 3))
    fewer = game.sample(own, seed, 2)
    np.testing.assert_allclose(fewer, drawn[:2], atol=1e-12)
    np.testing.assert_array_equal(
        game.model(own).reconstruct(), game.model(own).reconstruct()
    )
    assert game.model(own).reconstruct().shape == (1, 18, 24, 3)


def test_a_photograph_may_have_any_height():
    game = small.game()
    vars = small.at_scale(game, 1)
    for height in (17, 24, 40):
        own = game.remember(vars, small.tasks(1, height=height).support[0])
        assert game.sample(own, rng.make_seed(0), 1).shape[1] == height


def test_photograph_without_patches_is_refused():
    game = small.game()
    batch = small.tasks(height=12)
    with pytest.raises(ValueError, match=r"12 x 24 pixels is 8 x 16 .*11 x 11"):
        game.losses(
            small.at_scale(game, 0),
            small.photographs(batch),
            None,
            batch.seed,
        )


def test_grey_photographs():
    game = small.game(networks=small.networks(channels=1))
    vars = small.at_scale(game, 0)
    own = game.remember(vars, small.tasks(1, channels=1).support[0])
    assert game.sample(own, rng.make_seed(0), 2).shape == (2, 18, 24, 1)


@pytest.mark.parametrize("options", [{"head_rank": 2}, {"head_hidden": 1}])
def test_other_heads_learn_every_leaf(options):
    game = small.game(**options)
    vars, batch = small.at_scale(game, 0), small.tasks(2)
    wrt = {"g": tuple(vars.params["g"])}
    found, _ = game.gradients(
        vars, small.photographs(batch), None, batch.seed, wrt
    )
    for leaf, slope in found["g"].items():
        if "hidden1/constant" not in leaf:  # some units may be off
            assert np.abs(slope).max() > 0, leaf


def shared(kind):
    """Return the game in which one embedding serves both players, or G."""
    own = small.networks()
    nets = {"shared_embedding": {"e": own["g"]}, "shared_d": {"g": own["g"]}}
    return small.game(networks=nets[kind])


def test_a_shared_embedding_learns_from_both_losses():
    game = shared("shared_embedding")
    assert game.order == (("d", "e"), ("g", "e"))
    vars, batch = small.at_scale(game, 1), small.tasks(2)
    learned = game.learned(vars.params)
    assert not any(
        x.startswith("embed") for x in (*learned["d"], *learned["g"])
    )

    def slopes(*players):
        wrt = {p: tuple(learned[p]) for p in players}
        images = small.photographs(batch)
        return game.gradients(vars, images, None, batch.seed, wrt)[0]

    of_d, of_g, of_both = slopes("d", "e"), slopes("g", "e"), slopes(*"dge")
    for leaf, slope in of_both["e"].items():
        parts = of_d["e"][leaf] + of_g["e"][leaf]
        assert distance(slope, parts) < ROUNDING, leaf
        assert np.abs(of_d["e"][leaf]).max() > 0, leaf
        assert distance(of_g["e"][leaf], parts) > 1e-6, leaf
    assert distance(of_both["g"], of_g["g"]) < ROUNDING


def test_an_ordinary_discriminator_is_the_same_for_all_photographs():
    game = shared("shared_d")
    vars, batch = small.at_scale(game, 1), small.tasks(2)
    assert sum(x.shape.num_elements() for x in vars.params["d"].values()) == (
        27 * 4 + 4 + 3 * (36 * 4 + 4) + 36 + 1
    )
    wrt = {p: tuple(x) for p, x in game.learned(vars.params).items()}
    images = small.photographs(batch)
    found, outcome = game.gradients(vars, images, None, batch.seed, wrt)
    alone = [
        game.gradients(
            vars, images[i : i + 1], None, batch.seed[i : i + 1], wrt
        )
        for i in range(2)
    ]
    for leaf, slope in found["d"].items():
        parts = (alone[0][0]["d"][leaf] + alone[1][0]["d"][leaf]) / 2
        assert distance(slope, parts) < ROUNDING, leaf
    losses = [each.loss["d"] for _, each in alone]
    assert abs(outcome.loss["d"] - sum(losses) / 2) < ROUNDING


@pytest.mark.parametrize("hidden", [0, 1])
def test_embeddings_in_between_make_weights_in_between_if_linear(hidden):
    game = small.game(head_hidden=hidden)
    vars = small.at_scale(game, 1)
    first = small.tasks(1, seed=1).support[0, 0, 0]
    second = small.tasks(1, height=20, seed=2).support[0, 0, 0]

    def own(image):
        return game.model(game.remember(vars, image[tf.newaxis, tf.newaxis]))

    def between(share):
        mixed = game.blend(vars, (first, second), (1.0 - share, share))
        return game.model(mixed).reconstruct()

    def lerp(share):
        return own(first).interpolated(own(second), share).reconstruct()

    for end in (0.0, 1.0):
        assert distance(between(end), lerp(end)) < ROUNDING
    apart = distance(between(0.3), lerp(0.3))
    assert apart < ROUNDING if hidden == 0 else apart > 1e-6


def finetuner(steps, game, vars):
    rule = InnerRule(problems.optimizer("adam"), 2e-3)
    return finetuning.Finetuner(game, vars, steps=steps, rule=rule)


def finetuned(steps, photograph, game, vars):
    return finetuner(steps, game, vars)(photograph, seed=0)


def test_finetuning_begins_with_what_the_hypernetwork_made():
    game = small.game()
    vars, photograph = small.at_scale(game, 2), small.tasks(1).support[0, 0, 0]
    before = game.model(game.remember(vars, photograph[tf.newaxis, tf.newaxis]))
    found = finetuned(0, photograph, game, vars)
    seed = rng.make_seed(4)
    assert distance(found.reconstruct(), before.reconstruct()) < ROUNDING
    assert distance(found.sample(seed, 2), before.sample(seed, 2)) < ROUNDING


def test_weights_of_a_photograph_begin_as_they_were_made():
    game = small.game()
    vars, photograph = small.at_scale(game, 1), small.tasks(1).support[0, 0, 0]
    own, start = game.alone(vars, photograph)
    found = own.init(3).params
    assert found.keys() == start.params.keys()
    for player, leaves in start.params.items():
        assert leaves.keys() == found[player].keys()
        assert distance(leaves, found[player]) == 0.0
    assert distance(own.init(3).params, own.init(4).params) == 0.0


def test_finetuning_fits_the_photograph_and_leaves_the_run_alone():
    game = small.game()
    vars, photograph = small.at_scale(game, 2), small.tasks(1).support[0, 0, 0]
    kept = tf.nest.map_structure(lambda x: x.numpy(), vars)

    def error(model):
        return np.mean((model.reconstruct()[0] - photograph) ** 2)

    few, many = (
        error(finetuned(steps, photograph, game, vars)) for steps in (0, 30)
    )
    assert many < 0.5 * few
    for a, b in zip(tf.nest.flatten(kept), tf.nest.flatten(vars), strict=True):
        np.testing.assert_array_equal(a, b)


def test_photographs_share_graphs_and_nothing_else(monkeypatch):
    game = small.game()
    vars = small.at_scale(game, 1)
    first, second = small.tasks(2).support[:, 0, 0]
    tune = finetuner(3, game, vars)
    tune(first, seed=1)
    monkeypatch.setattr(finetuning, "Rollout", None)  # no graph is made anew
    shared = tune(second, seed=2)
    monkeypatch.undo()
    alone = finetuner(3, game, vars)(second, seed=2)
    seed = rng.make_seed(4)
    for draw in (lambda m: m.reconstruct(), lambda m: m.sample(seed, 2)):
        assert distance(draw(shared), draw(alone)) < ROUNDING
    other = finetuner(3, game, vars)(second, seed=1)
    assert distance(shared.reconstruct(), other.reconstruct()) > ROUNDING


def test_each_photograph_has_a_coefficient_of_its_own():
    """Not one for the batch, as in the public program."""
    game = small.game()
    vars = small.at_scale(game, 0)
    image = small.photographs(small.tasks(1))
    seeds = small.tasks(2).seed
    twice = tf.concat([image, image], 0)

    def penalty(images, seeds):
        outcome = game.losses(vars, images, None, seeds)
        return outcome.metrics["gradient_penalty"]

    alone = [penalty(image, seeds[i : i + 1]) for i in range(2)]
    both = penalty(twice, seeds)
    assert distance(both, sum(alone) / 2) < ROUNDING
    assert distance(both, alone[0]) > 1e-6
