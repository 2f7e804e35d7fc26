"""Players that see an image of the task."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import registry
from tf_metagan.architectures import exemplar
from tf_metagan.core import rng
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout, Turn
from tf_metagan.gan import exemplars, losses, penalties

SIZE = [16, 16, 1]
SEED = rng.make_seed(3)
every_loss = pytest.mark.parametrize("loss", registry.LOSSES)


def numbered(count, first=1):
    """Return images of one colour each: first / 64, (first + 1) / 64, ..."""
    values = np.arange(first, first + count) / 64
    return tf.constant(
        np.broadcast_to(values[:, None, None, None], [count, *SIZE])
    )


def numbers(images):
    """Return which of the `numbered` images these are."""
    found = 64 * np.asarray(images)[..., 0, 0, :]
    np.testing.assert_allclose(found, np.round(found))
    return np.round(found).astype(int)


def spying_networks():
    """Return networks that show what they are given.

    g returns the exemplar; d returns the sum of exemplar + 10 first + 100
    second image, in 64ths.
    """
    z, given = keras.Input([2]), keras.Input(SIZE)
    seen, beside = keras.Input([16, 16, 2]), keras.Input(SIZE)
    corner = 64 * (
        beside[:, 0, 0, :] + 10 * seen[:, 0, 0, :1] + 100 * seen[:, 0, 0, 1:]
    )
    return {
        "d": keras.Model([seen, beside], corner),
        "g": keras.Model([z, given], given + 0 * keras.ops.sum(z)),
    }


def real_networks():
    return exemplar.build(
        image_size=16, channels=1, width=2, latent_size=2, dtype="float64"
    )


def make_game(loss="non_saturating", penalty=None, wrong_share=0.25):
    return exemplars.exemplar_game(
        real_networks(),
        loss=registry.find(registry.LOSSES, loss)(),
        penalty=penalty or penalties.r1(penalty_weight=2.0),
        wrong_share=wrong_share,
    )


def noise(count, seed=0):
    draw = np.random.default_rng(seed)
    return tf.constant(draw.uniform(-1.0, 1.0, [count, *SIZE]))


# Who is shown what.


def check_companions(beside, count):
    """Each place has companions other than itself and than each other."""
    rows = np.concatenate([numbers(x) for x in beside], axis=1)
    own = np.arange(1, count + 1)
    for column in rows.T:
        assert sorted(column) == list(own)
        assert not np.any(column == own)
    assert not np.any(rows[:, 0] == rows[:, 1])


@pytest.mark.parametrize("count", [3, 4, 5, 16])
def test_companions_are_others(count):
    images = numbered(count)
    seen = set()
    for seed in range(200):
        offsets = exemplars._offsets(count, rng.make_seed(seed))
        beside = exemplars._companions(images, *offsets, 2)
        check_companions(beside, count)
        seen.add(tuple(numbers(x)[0, 0] for x in beside))
    # All ordered pairs of others come up, or most where they are many.
    assert len(seen) >= min((count - 1) * (count - 2), 100)


def test_companion_that_is_the_exemplar_is_noticed():
    images = numbered(5)
    for wrong in ([images, tf.roll(images, 1, 0)], [tf.roll(images, 1, 0)] * 2):
        with pytest.raises(AssertionError):
            check_companions(wrong, 5)


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_repeated(count):
    for seed in range(5):
        offsets = exemplars._offsets(count, rng.make_seed(seed))
        beside = exemplars._companions(numbered(count), *offsets, 2)
        assert {x for y in beside for x in numbers(y)[:, 0]} <= {1, 2}


def test_one_image_of_each_wrong_pair_is_of_another_class():
    first, second = numbered(4), numbered(4, first=11)
    other = numbered(4, first=21)
    got = [
        numbers(x)[:, 0] for x in exemplars._replace_one([first, second], other)
    ]
    np.testing.assert_array_equal(got, [[21, 2, 23, 4], [11, 22, 13, 24]])


def scores(loss_part):
    """Return a loss whose real, fake and generator parts record the scores."""
    return losses.Loss(
        real=lambda x: loss_part("real", x),
        fake=lambda x: loss_part("fake", x),
        generator=lambda x: loss_part("generator", x),
        zero_sum=None,
    )


def test_both_players_are_given_the_exemplar():
    seen = {}

    def record(name, x):
        seen.setdefault(name, []).append(np.asarray(x)[:, 0])
        return tf.reduce_mean(x)

    spies = spying_networks()
    game = exemplars.exemplar_game(
        spies, loss=scores(record), penalty=penalties.none(), wrong_share=0.5
    )
    vars = game.init(0)
    vars = vars._replace(params={"d": {}, "g": {"": tf.zeros([], tf.float32)}})
    real = tf.cast(numbered(4), tf.float32)
    other = tf.cast(numbered(4, first=21), tf.float32)
    outcome = game.losses(vars, real, other, SEED)
    own = np.arange(1, 5)
    # The spy draws its exemplar, so that both fakes are it.
    fake, wrong = seen["fake"]
    np.testing.assert_allclose(fake, 111 * own, rtol=1e-5)
    np.testing.assert_allclose(seen["generator"][0], 111 * own, rtol=1e-5)
    shown = np.round(seen["real"][0]).astype(int)
    # exemplar + 10 first + 100 second, with first and second from 1 to 4
    first, second = (shown - own) // 10 % 10, (shown - own) // 100
    assert sorted(first) == sorted(second) == [1, 2, 3, 4]
    assert not np.any(first == own)
    assert not np.any(second == own)
    one, two = first.copy(), second.copy()
    one[::2], two[1::2] = [21, 23], [22, 24]
    np.testing.assert_allclose(wrong, own + 10 * one + 100 * two, rtol=1e-5)
    # Half of what is refused is fakes, half is images of other classes.
    expected = shown.mean() + 0.5 * fake.mean() + 0.5 * wrong.mean()
    np.testing.assert_allclose(outcome.loss["d"], expected, rtol=1e-5)
    np.testing.assert_allclose(outcome.loss["g"], fake.mean(), rtol=1e-5)


def test_without_others_fakes_are_all_that_is_refused():
    game, plain = make_game(wrong_share=0.25), make_game(wrong_share=0.0)
    assert game.wants_others
    assert not plain.wants_others
    vars, real = game.init(0), noise(4)
    np.testing.assert_allclose(
        game.losses(vars, real, None, SEED).loss["d"],
        plain.losses(vars, real, noise(4, 1), SEED).loss["d"],
    )
    with_others = game.losses(vars, real, noise(4, 1), SEED).loss["d"]
    assert with_others != plain.losses(vars, real, None, SEED).loss["d"]


# Gradients.


def check_gradients(game, loss, others):
    vars, real = game.init(0), noise(4)
    wrt = {p: tuple(vars.params[p]) for p in ("d", "g")}
    fast, outcome = game.gradients(vars, real, others, SEED, wrt)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vars.params)
        slow = game.losses(vars, real, others, SEED)
    for p in wrt:
        np.testing.assert_allclose(outcome.loss[p], slow.loss[p], rtol=1e-12)
        expected = tape.gradient(slow.loss[p], vars.params[p])
        for leaf, x in expected.items():
            np.testing.assert_allclose(
                fast[p][leaf], x, rtol=1e-9, atol=1e-13, err_msg=f"{p}/{leaf}"
            )
    sums = {
        p: sum(factor * slow.terms[name] for name, factor in parts.items())
        for p, parts in slow.mix.items()
    }
    for p, value in sums.items():
        np.testing.assert_allclose(value, slow.loss[p], rtol=1e-12)


@pytest.mark.parametrize("others", [None, noise(4, 1)])
@every_loss
def test_gradients_are_those_of_the_losses(loss, others):
    check_gradients(make_game(loss), loss, others)


def test_forgotten_share_is_noticed():
    game = make_game("wasserstein")
    other = make_game("wasserstein", wrong_share=0.5)
    with pytest.raises(AssertionError):
        check_gradients(
            game._replace(gradients=other.gradients), "", noise(4, 1)
        )


# The memory of the support images.


def remembering_rollout(candidates=1):
    spies = spying_networks()
    game = exemplars.exemplar_game(
        spies,
        loss=losses.hinge(),
        penalty=penalties.none(),
        wrong_share=0.0,
        candidates=candidates,
    )

    def init(seed):
        # The spies have no weights; a game tells its dtype by G's.
        params = {"d": {}, "g": {"": tf.zeros([])}}
        return game.init(seed)._replace(params=params)

    return game, init


def test_samples_are_drawn_from_all_remembered_images():
    game, init = remembering_rollout()
    vars = init(0)
    support = tf.cast(tf.stack([numbered(4), numbered(4, first=5)]), tf.float32)
    full = game.remember(vars, support)
    drawn = numbers(game.sample(full, SEED, 400))[:, 0]
    assert set(drawn) == set(range(1, 9))
    assert max(np.bincount(drawn)) < 100
    again = numbers(game.sample(full, SEED, 400))[:, 0]
    np.testing.assert_array_equal(drawn, again)
    assert np.any(drawn != numbers(game.sample(full, SEED + 1, 400))[:, 0])


@pytest.mark.parametrize("candidates", [1, 4])
def test_without_memory_the_exemplar_is_blank(candidates):
    game, init = remembering_rollout(candidates)
    np.testing.assert_array_equal(
        game.sample(init(0), SEED, 3), -np.ones([3, *SIZE])
    )


def test_of_the_candidates_the_best_is_kept():
    (every, init), (game, _) = remembering_rollout(), remembering_rollout(4)
    support = tf.cast(numbered(8), tf.float32)[tf.newaxis]
    full = every.remember(init(0), support)
    # The spy rates an image higher the higher its number is.
    drawn = numbers(every.sample(full, SEED, 40))[:, 0].reshape(10, 4)
    kept = numbers(game.sample(full, SEED, 10))[:, 0]
    np.testing.assert_array_equal(kept, drawn.max(axis=1))
    assert np.any(kept != drawn[:, 0])
    # Fewer images are the first of more.
    fewer = numbers(game.sample(full, SEED, 3))[:, 0]
    np.testing.assert_array_equal(fewer, kept[:3])


def test_candidates_of_an_image_meet_the_same_support_images():
    """Scores that depend on those only rate all candidates alike."""
    every, init = remembering_rollout()
    support = tf.cast(numbered(8), tf.float32)[tf.newaxis]
    full = every.remember(init(0), support)
    blind = spying_networks()
    seen, beside = blind["d"].inputs
    blind["d"] = keras.Model(
        [seen, beside], beside[:, 0, 0, :] + seen[:, 0, 0, 1:]
    )
    game = exemplars.exemplar_game(
        blind,
        loss=losses.hinge(),
        penalty=penalties.none(),
        wrong_share=0.0,
        candidates=4,
    )
    drawn = numbers(every.sample(full, SEED, 40))[:, 0]
    kept = numbers(game.sample(full, SEED, 10))[:, 0]
    np.testing.assert_array_equal(kept, drawn[::4])


def make_rollout(game):
    rule = InnerRule(
        registry.find(registry.INNER_OPTIMIZERS, "sgd")(),
        0.1,
        "none",
        "reset",
        2,
    )
    return Rollout(game, dict.fromkeys(game.players, rule), (Turn(("d", "g")),))


@pytest.mark.parametrize("steps", [0, 2])
def test_adaptation_ends_with_the_memory(steps):
    game = make_game()
    rollout = make_rollout(game)
    vars = rollout.init(0)
    support = tf.stack([noise(4), noise(4, 1)])
    adapted, _ = rollout.run(vars, support, None, SEED, steps)
    np.testing.assert_array_equal(
        adapted.state["memory"]["images"], tf.reshape(support, [8, *SIZE])
    )
    assert "memory" not in vars.state
    moved = [
        not np.array_equal(adapted.params[p][leaf], x)
        for p, leaves in vars.params.items()
        for leaf, x in leaves.items()
    ]
    assert any(moved) == (steps > 0)
    if not steps:
        prior = game.sample(vars, SEED, 4)
        assert np.any(prior != game.sample(adapted, SEED, 4))


def test_one_image_is_remembered_and_teaches_nothing():
    game = make_game()
    rollout = make_rollout(game)
    vars = rollout.init(0)

    @tf.function
    def adapted(support):
        return rollout.run(vars, support, None, SEED, 2)[0]

    def moved(support):
        return any(
            not np.array_equal(adapted(support).params[p][leaf], x)
            for p, leaves in vars.params.items()
            for leaf, x in leaves.items()
        )

    assert not moved(noise(1)[tf.newaxis])
    assert adapted(noise(1)[tf.newaxis]).state["memory"]["images"].shape[0] == 1
    assert moved(noise(2)[tf.newaxis])


# Networks.


def test_networks_that_see_no_exemplar_are_refused():
    toy = registry.find(registry.ARCHITECTURES, "toy")(
        image_size=2, channels=1, width=2, latent_size=2
    )
    for wrong in (toy, {"g": toy["g"]}, {**real_networks(), "d": toy["d"]}):
        with pytest.raises(ValueError, match="--architecture=exemplar, or"):
            exemplars.exemplar_game(
                wrong,
                loss=losses.hinge(),
                penalty=penalties.none(),
                wrong_share=0.0,
            )
