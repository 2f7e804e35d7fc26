"""The game of two: who minimises what, and which gradients flow."""

import inspect
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import registry
from tf_metagan.architectures import toy
from tf_metagan.core import functional, rng
from tf_metagan.gan import duel, losses, penalties

SEED = rng.make_seed(5)
SHAPE = [3, 2, 2, 1]
REAL = tf.constant(np.random.default_rng(0).uniform(-1.0, 1.0, SHAPE))

every_loss = pytest.mark.parametrize("loss", registry.LOSSES)
every_penalty = pytest.mark.parametrize("penalty", registry.PENALTIES)


def toy_networks():
    return toy.build(
        image_size=2, channels=1, width=3, latent_size=2, dtype="float64"
    )


NETWORKS = toy_networks()


def find_penalty(name):
    make = registry.find(registry.PENALTIES, name)
    options = {"penalty_weight": 10.0, "penalty_norm": "sample"}
    wanted = inspect.signature(make).parameters
    return make(**{k: options[k] for k in wanted})


def make_game(loss="wasserstein", penalty="gradient", networks=NETWORKS):
    return duel.two_player(
        networks,
        loss=registry.find(registry.LOSSES, loss)(),
        penalty=find_penalty(penalty),
    )


def leaves_of(vars, players=("d", "g")):
    return {p: tuple(vars.params[p]) for p in players}


def check_equal(got, expected, *, tolerance=1e-12):
    """Compare {player: {leaf: x}}: the same sums in another order."""
    assert {p: set(x) for p, x in got.items()} == {
        p: set(x) for p, x in expected.items()
    }
    for p, leaves in expected.items():
        for leaf, x in leaves.items():
            np.testing.assert_allclose(
                got[p][leaf], x, rtol=tolerance, atol=tolerance
            )


# Losses.


def by_hand(vars, networks=NETWORKS):
    """Return z and, from the Keras models themselves, fake and the scores."""
    z = rng.normal(rng.fold(SEED, 0), [3, 2], tf.float64)
    for p, model in networks.items():
        for variable in model.trainable_variables:
            layer, name = variable.path.split("/")[-2:]
            variable.assign(vars.params[p][f"{layer}/{name}"])
    fake = networks["g"](z)
    return z, fake, networks["d"](REAL), networks["d"](fake)


def check_losses(game, vars, loss, penalty):
    _, fake, score_real, score_fake = by_hand(vars)
    smooth = penalty(NETWORKS["d"], REAL, fake, rng.fold(SEED, 1))
    outcome = game.losses(vars, REAL, None, SEED)
    expected = {
        "d": loss.discriminator(score_real, score_fake) + smooth,
        "g": loss.generator(score_fake),
    }
    check_equal({"": outcome.loss}, {"": expected})
    assert tuple(outcome.metrics) == game.metrics
    estimate = tf.reduce_mean(score_real) - tf.reduce_mean(score_fake)
    check_equal(
        {"": outcome.metrics},
        {"": {"wasserstein_estimate": estimate, "gradient_penalty": smooth}},
    )


@every_penalty
@every_loss
def test_losses_are_those_of_the_networks_on_the_same_images(loss, penalty):
    game = make_game(loss, penalty)
    vars = game.init(0)
    parts = registry.find(registry.LOSSES, loss)(), find_penalty(penalty)
    check_losses(game, vars, *parts)


def check_terms(outcome, penalised):
    """Losses are sums of terms; the penalty is in D's and not in G's."""
    sums = {
        p: sum(factor * outcome.terms[name] for name, factor in parts.items())
        for p, parts in outcome.mix.items()
    }
    check_equal({"": sums}, {"": outcome.loss})
    assert set(outcome.terms) == {k for x in outcome.mix.values() for k in x}
    changed = {
        name
        for name, value in outcome.terms.items()
        if not np.isclose(value, penalised.terms[name], rtol=1e-12)
    }
    assert changed
    assert changed <= set(outcome.mix["d"])
    assert not changed & set(outcome.mix["g"])


@every_loss
def test_terms_of_the_losses_add_up(loss):
    game, penalised = make_game(loss, "none"), make_game(loss, "r1")
    vars = game.init(0)
    outcome = game.losses(vars, REAL, None, SEED)
    other = penalised.losses(vars, REAL, None, SEED)
    check_terms(outcome, other)
    wrong = {**outcome.mix, "g": outcome.mix["d"]}
    with pytest.raises(AssertionError):
        check_terms(outcome._replace(mix=wrong), other)


def test_penalty_on_both_players_or_on_none_is_noticed():
    game = make_game()
    vars = game.init(0)
    plain, penalised = losses.wasserstein(), find_penalty("gradient")
    both = plain._replace(generator=lambda fake: 1.0 - tf.reduce_mean(fake))
    for wrong in ((both, penalised), (plain, penalties.none())):
        with pytest.raises(AssertionError):
            check_losses(game, vars, *wrong)


def check_same_latents(losses, vars):
    """Wasserstein: L_D + E[D(real)] = E[D(fake)] = -L_G for one z only."""
    loss = losses(vars, REAL, None, SEED).loss
    _, _, score_real, _ = by_hand(vars)
    total = loss["d"] + loss["g"] + tf.reduce_mean(score_real)
    np.testing.assert_allclose(total, 0.0, atol=1e-14)


def test_both_players_are_judged_on_the_same_latents():
    game = make_game(penalty="none")
    vars = game.init(0)
    check_same_latents(game.losses, vars)

    def fresh(vars, real, others, seed):
        one = game.losses(vars, real, others, seed)
        other = game.losses(vars, real, others, rng.fold(seed, 9))
        return one._replace(loss={"d": one.loss["d"], "g": other.loss["g"]})

    with pytest.raises(AssertionError):
        check_same_latents(fresh, vars)


def test_seed_decides_the_latents_and_the_interpolation():
    game = make_game()
    vars = game.init(0)
    one, same, other = (
        game.losses(vars, REAL, None, seed).loss
        for seed in (SEED, SEED, rng.fold(SEED, 1))
    )
    for p in ("d", "g"):
        assert float(one[p]) == float(same[p]) != float(other[p])


# Gradients.


def reference(game, vars, real=REAL, seed=SEED, players=("d", "g")):
    """Differentiate `losses`, each player's own by its own leaves."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vars.params)
        loss = game.losses(vars, real, None, seed).loss
    return {p: tape.gradient(loss[p], vars.params[p]) for p in players}


def check_gradients(game, gradients, players):
    vars = game.init(0)
    grads, outcome = gradients(vars, REAL, None, SEED, leaves_of(vars, players))
    check_equal(grads, reference(game, vars, players=players))
    expected = game.losses(vars, REAL, None, SEED)
    check_equal({"": outcome.loss}, {"": expected.loss})
    check_equal({"": outcome.metrics}, {"": expected.metrics})


@pytest.mark.parametrize("players", [("d", "g"), ("d",), ("g",)])
@every_penalty
@every_loss
def test_gradients_are_those_of_the_losses(loss, penalty, players):
    game = make_game(loss, penalty)
    check_gradients(game, game.gradients, players)


def test_loss_that_is_not_zero_sum_must_not_share_its_backward_pass():
    game = make_game("non_saturating")
    wrong = duel.two_player(
        NETWORKS,
        loss=losses.non_saturating()._replace(zero_sum=1.0),
        penalty=find_penalty("gradient"),
    )
    check_gradients(wrong, wrong.gradients, ("g",))  # nothing is shared
    with pytest.raises(AssertionError):
        check_gradients(game, wrong.gradients, ("d", "g"))


def test_penalty_is_no_part_of_the_gradient_of_the_generator():
    plain, penalised = make_game(penalty="none"), make_game()
    vars = plain.init(0)
    wrt = leaves_of(vars)
    without, _ = plain.gradients(vars, REAL, None, SEED, wrt)
    with_it, _ = penalised.gradients(vars, REAL, None, SEED, wrt)
    check_equal({"g": with_it["g"]}, {"g": without["g"]}, tolerance=0.0)
    with pytest.raises(AssertionError):
        check_equal({"d": with_it["d"]}, {"d": without["d"]})

    def negative(vars, real, others, seed, wrt):
        """G descends -L_D as it stands: the penalty depends on its images."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(vars.params)
            outcome = penalised.losses(vars, real, others, seed)
        d = tape.gradient(outcome.loss["d"], vars.params)
        opposite = {leaf: -x for leaf, x in d["g"].items()}
        return {"d": d["d"], "g": opposite}, outcome

    with pytest.raises(AssertionError):
        check_gradients(penalised, negative, ("d", "g"))


def test_gradients_cover_the_leaves_asked_for_and_no_others():
    game = make_game()
    vars = game.init(0)
    full = reference(game, vars)
    wrt = {"d": ("head/bias", "hidden/kernel"), "g": ("paint/kernel",)}
    grads, _ = game.gradients(vars, REAL, None, SEED, wrt)
    expected = {p: {k: full[p][k] for k in leaves} for p, leaves in wrt.items()}
    check_equal(grads, expected)
    grads, outcome = game.gradients(vars, REAL, None, SEED, {})
    assert grads == {}
    assert set(outcome.loss) == {"d", "g"}


def second_order(game, gradients, players):
    """Return the derivative of <gradients, v> by all weights."""
    vars = game.init(0)
    numbers = np.random.default_rng(1)
    vector = {
        p: {k: numbers.normal(size=x.shape) for k, x in vars.params[p].items()}
        for p in players
    }
    with tf.GradientTape() as tape:
        tape.watch(vars.params)
        grads = gradients(vars)
        total = tf.add_n(
            [
                tf.reduce_sum(x * vector[p][k])
                for p in players
                for k, x in grads[p].items()
            ]
        )
    return tape.gradient(total, vars.params, unconnected_gradients="zero")


def check_second_order(game, gradients, players=("d", "g")):
    expected = second_order(
        game, lambda vars: reference(game, vars, players=players), players
    )
    got = second_order(
        game,
        lambda vars: gradients(
            vars, REAL, None, SEED, leaves_of(vars, players)
        )[0],
        players,
    )
    check_equal(got, expected, tolerance=1e-11)


@every_penalty
@every_loss
def test_gradients_are_differentiated_like_those_of_the_losses(loss, penalty):
    """What MAML needs: the shared pass must keep every path between players."""
    game = make_game(loss, penalty)
    check_second_order(game, game.gradients)


def test_detached_images_in_the_penalty_are_noticed():
    """With constant interpolates the first gradients stay right."""
    inner = find_penalty("gradient")
    game = make_game()
    wrong = duel.two_player(
        NETWORKS,
        loss=losses.wasserstein(),
        penalty=lambda critic, real, fake, seed: inner(
            critic, real, tf.stop_gradient(fake), seed
        ),
    )
    check_gradients(game, wrong.gradients, ("d", "g"))
    with pytest.raises(AssertionError):
        check_second_order(game, wrong.gradients)


@pytest.mark.parametrize("players", [("d",), ("g",)])
def test_gradients_of_one_player_are_differentiated_by_both(players):
    game = make_game()
    check_second_order(game, game.gradients, players)


# Leaves that cannot learn.


class Detached(keras.layers.Layer):
    """Add a bias that nobody's loss feels."""

    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=input_shape[1:])

    def call(self, inputs):
        return inputs + tf.stop_gradient(self.shift)


class Cut(keras.layers.Layer):
    """Pass the values on and no gradient."""

    def call(self, inputs):
        return tf.stop_gradient(inputs)


def with_layer(player, layer):
    networks = toy_networks()
    old = networks[player]
    inputs = keras.Input(old.input_shape[1:], dtype="float64")
    outputs = old(layer(inputs))
    return {**networks, player: keras.Model(inputs, outputs, name=player)}


@pytest.mark.parametrize("loss", ["wasserstein", "least_squares"])
@pytest.mark.parametrize("player", ["d", "g"])
def test_detached_leaf_is_refused_by_name(player, loss):
    layer = Detached(name="extra", dtype="float64")
    game = make_game(loss, networks=with_layer(player, layer))
    vars = game.init(0)
    wrt = leaves_of(vars)
    with pytest.raises(
        ValueError, match=f"^{player}/extra/shift cannot learn: the player's"
    ):
        game.gradients(vars, REAL, None, SEED, wrt)
    wrt[player] = tuple(k for k in wrt[player] if k != "extra/shift")
    game.gradients(vars, REAL, None, SEED, wrt)


@pytest.mark.parametrize("players", [("d", "g"), ("g",)])
@pytest.mark.parametrize("loss", ["wasserstein", "least_squares"])
def test_generator_whose_images_are_detached_is_refused(loss, players):
    """Not trained on the sum of its pixels, as no incoming slope would mean."""
    layer = Cut(name="cut", dtype="float64")
    game = make_game(loss, "none", networks=with_layer("d", layer))
    vars = game.init(0)
    with pytest.raises(ValueError, match=r"^g/hidden/bias, .* cannot learn"):
        game.gradients(vars, REAL, None, SEED, leaves_of(vars, players))
    game.gradients(vars, REAL, None, SEED, leaves_of(vars, ("d",)))


# State.


def normalised_networks():
    networks = toy_networks()
    networks["d"] = keras.Sequential(
        [
            keras.Input([2, 2, 1], dtype="float64"),
            keras.layers.Flatten(name="flat", dtype="float64"),
            keras.layers.BatchNormalization(
                momentum=0.75, name="norm", dtype="float64"
            ),
            keras.layers.Dense(1, name="head", dtype="float64"),
        ],
        name="d",
    )
    return networks


def check_moving_mean(state, passes):
    expected = np.zeros(4)
    for images in passes:
        mean = np.mean(np.reshape(images, [3, 4]), axis=0)
        expected = 0.75 * expected + 0.25 * mean
    np.testing.assert_allclose(
        state["d"]["norm/moving_mean"], expected, rtol=1e-6
    )


def test_state_sees_fake_then_real_images_and_no_interpolates():
    game = make_game(networks=normalised_networks())
    vars = game.init(0)
    fake = game.sample(vars, SEED, 3)
    _, by_gradients = game.gradients(vars, REAL, None, SEED, leaves_of(vars))
    for outcome in (game.losses(vars, REAL, None, SEED), by_gradients):
        tf.nest.assert_same_structure(outcome.state, vars.state)
        check_moving_mean(outcome.state, [fake, REAL])
        for wrong in ([REAL, fake], [fake], [fake, REAL, REAL]):
            with pytest.raises(AssertionError):
                check_moving_mean(outcome.state, wrong)


# Start and samples.


def check_players_start_apart(params):
    """Leaves of one name and shape are drawn for each player anew."""
    shared = [
        leaf
        for leaf in params["d"]
        if leaf in params["g"]
        and params["d"][leaf].shape == params["g"][leaf].shape
    ]
    assert shared
    for leaf in shared:
        assert not np.any(np.isclose(params["d"][leaf], params["g"][leaf]))


def test_players_do_not_start_as_copies_of_each_other():
    game = make_game()
    params = game.init(0).params
    check_players_start_apart(params)
    copied = {**params["g"], "hidden/bias": params["d"]["hidden/bias"]}
    with pytest.raises(AssertionError):
        check_players_start_apart({"d": params["d"], "g": copied})


def test_init_depends_on_its_seed_only():
    one, same, other = (make_game().init(s) for s in (1, 1, 2))
    check_equal(one.params, same.params, tolerance=0.0)
    for p in ("d", "g"):
        for leaf, x in one.params[p].items():
            assert not np.array_equal(x, other.params[p][leaf])
    assert one.inner == {}
    assert one.state == {"d": {}, "g": {}}


def test_samples_are_images_of_the_seed():
    game = make_game()
    vars = game.init(0)
    images = game.sample(vars, SEED, 5)
    assert images.shape == (5, 2, 2, 1)
    assert images.dtype == tf.float64
    assert np.all(np.abs(images) <= 1.0)
    np.testing.assert_array_equal(images, game.sample(vars, SEED, 5))
    assert not np.allclose(images, game.sample(vars, rng.fold(SEED, 1), 5))
    # Asking for more leaves the first ones as they are.
    np.testing.assert_allclose(
        game.sample(vars, SEED, 9)[:5], images, rtol=1e-13
    )
    # The fakes of the losses are those of the same seed.
    np.testing.assert_allclose(by_hand(vars)[1], images[:3], rtol=1e-13)


def test_of_the_candidates_the_one_is_kept_that_d_rates_best():
    game = make_game()
    choosy = duel.two_player(
        NETWORKS,
        loss=registry.find(registry.LOSSES, "hinge")(),
        penalty=find_penalty("none"),
        candidates=3,
    )
    vars = game.init(0)
    every = game.sample(vars, SEED, 12).numpy()
    d = functional.from_keras(NETWORKS["d"])
    scores, _ = d.apply(vars.params["d"], vars.state["d"], every, SEED)
    best = np.reshape(scores, [4, 3]).argmax(1)
    assert len(set(best)) > 1
    expected = every.reshape(4, 3, 2, 2, 1)[np.arange(4), best]
    kept = choosy.sample(vars, SEED, 4)
    np.testing.assert_allclose(kept, expected, rtol=1e-12)
    fewer = choosy.sample(vars, SEED, 2)
    np.testing.assert_allclose(fewer, expected[:2], rtol=1e-12)


def test_graph_of_unknown_batch_size_equals_eager():
    game = make_game()
    vars = game.init(0)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2, 2, 1], tf.float64)],
        autograph=False,
    )
    def graph(real):
        return game.gradients(vars, real, None, SEED, leaves_of(vars))[0]

    for count in (1, 3):
        real = REAL[:count]
        expected, _ = game.gradients(vars, real, None, SEED, leaves_of(vars))
        check_equal(graph(real), expected)


def test_latents_are_standard_normal():
    """Through a generator that shows them: 5 standard errors."""
    g = keras.Sequential(
        [
            keras.Input([4], dtype="float64"),
            keras.layers.Dense(
                4,
                kernel_initializer=keras.initializers.Identity(),
                name="same",
                dtype="float64",
            ),
            keras.layers.Reshape([2, 2, 1], name="grid", dtype="float64"),
        ],
        name="g",
    )
    game = make_game(networks={**NETWORKS, "g": g})
    z = game.sample(game.init(0), SEED, 2_000).numpy()
    assert abs(np.mean(z)) < 5.0 / math.sqrt(z.size)
    assert abs(np.mean(z**2) - 1.0) < 5.0 * math.sqrt(2.0 / z.size)


# Networks that do not fit.


def model(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


D = model([2, 2, 1], keras.layers.Flatten(), keras.layers.Dense(1))
G = model([3], keras.layers.Dense(4), keras.layers.Reshape([2, 2, 1]))


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            {"d": D, "mlp": G},
            r"has the players 'd' and 'g', got \['d', 'mlp'\]. Pass \{'d': ",
        ),
        (
            {"d": D, "g": model([3], keras.layers.Dense(4))},
            r"draws images of shape \(4,\) but the discriminator takes "
            r"\(2, 2, 1\). Both must be \(height, width, channels\)",
        ),
        (
            {
                "d": D,
                "g": model(
                    [4],
                    keras.layers.Reshape([2, 2, 1]),
                    keras.layers.Conv2D(3, 1),
                ),
            },
            r"draws images of shape \(2, 2, 3\) but the discriminator takes",
        ),
        (
            {"d": model([2, 2, 1], keras.layers.Flatten()), "g": G},
            r"the discriminator gives \(None, 4\), expected \(None, 1\): one "
            r"score per image. End it with Dense\(1\)",
        ),
        (
            {"d": D, "g": model([2, 2, 1], keras.layers.Conv2D(1, 1))},
            r"the generator takes \(None, 2, 2, 1\), expected \(None, latent "
            r"size\). Begin it with an Input",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(networks, message):
    with pytest.raises(ValueError, match=message):
        duel.two_player(
            networks, loss=losses.wasserstein(), penalty=penalties.none()
        )
