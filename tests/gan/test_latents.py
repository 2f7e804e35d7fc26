"""D with two heads, and the networks that make G's latents."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.architectures import latent_dcgan
from tf_metagan.core import functional, rng
from tf_metagan.gan import latents, losses, penalties
from tf_metagan.types import Vars

SEED = rng.make_seed(3)
SHAPE = [2, 2, 1]


def dense(units, name, activation=None):
    return keras.layers.Dense(
        units, activation, name=name, dtype="float64", bias_initializer="ones"
    )


def networks(*, mlp=2, mlp_cls=2, drawn=4, cut=False):
    """Return small smooth networks; G shows its four latents as pixels.

    Args:
      mlp: numbers it gives; 0 for none.
      mlp_cls: the same.
      drawn: numbers that G takes.
      cut: let D detach its images.
    """
    image = keras.Input(SHAPE, dtype="float64")
    flat = keras.layers.Flatten(name="flat", dtype="float64")(image)
    if cut:
        flat = keras.layers.Lambda(
            tf.stop_gradient, name="cut", dtype="float64"
        )(flat)
    hidden = dense(3, "hidden", "softplus")(flat)
    heads = [dense(1, "adversarial")(hidden), dense(1, "domain")(hidden)]
    z = keras.Input([drawn], dtype="float64")
    scale = keras.layers.EinsumDense(
        "ni,i->ni",
        output_shape=[drawn],
        kernel_initializer="ones",
        name="scale",
        dtype="float64",
    )
    grid = keras.layers.Reshape(SHAPE, name="grid", dtype="float64")
    shown = grid(scale(z))
    nets = {
        "d": keras.Model(image, [*heads, hidden], name="d"),
        "g": keras.Model(z, shown, name="g"),
    }
    for name, size, units in (("mlp", 2, mlp), ("mlp_cls", 3, mlp_cls)):
        if units:
            seen = keras.Input([size], dtype="float64")
            nets[name] = keras.Model(seen, dense(units, "out")(seen), name=name)
    return nets


VARIANTS = {
    "1mlp": {"mlp": 4, "mlp_cls": 0},
    "2mlp": {},
    "concat": {"mlp": 0, "mlp_cls": 1},
    "mlp_mean_std": {"mlp": 0, "mlp_cls": 8},
    "noise": {"mlp": 0, "mlp_cls": 0},
}


def make_game(nets=None, *, loss=None, penalty=None, **options):
    return latents.latent_game(
        nets or networks(),
        loss=loss or losses.non_saturating(),
        penalty=penalty or penalties.none(),
        **options,
    )


def images(count, seed=0):
    draw = np.random.default_rng(seed)
    return tf.constant(draw.uniform(-1, 1, [count, *SHAPE]))


def support(count=5):
    return images(count)[tf.newaxis]


# What the players minimise.


def restated(nets, vars, real, others, fake, *, weight=1.0):
    """Return the losses of D, of who makes latents and of G, for BCE."""
    apply = functional.from_keras(nets["d"]).apply

    def heads(x):
        return [s.numpy() for s in apply(vars.params["d"], {}, x, SEED)[0][:2]]

    def cross_entropy(score, target):
        p = 1.0 / (1.0 + np.exp(-score))
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))

    (a_x, d_x), (a_y, d_y), (_, d_o) = map(heads, (real, fake, others))
    d = cross_entropy(a_x, 1) + cross_entropy(a_y, 0)
    d += cross_entropy(d_x, 1) + cross_entropy(d_o, 0)
    fooled, placed = cross_entropy(a_y, 1), cross_entropy(d_y, 1)
    return d, fooled + placed, fooled + weight * placed


def still(vars):
    """Return weights with which G draws the same image always."""
    g = {"scale/kernel": tf.zeros_like(vars.params["g"]["scale/kernel"])}
    return vars._replace(params={**vars.params, "g": g})


def check_losses(game, nets, *, others, weight=1.0):
    vars = still(game.init(0))
    real = images(5)
    fake = tf.zeros([5, *SHAPE], tf.float64)
    outcome = game.losses(vars, real, images(3, seed=7), SEED)
    d, makers, g = restated(nets, vars, real, others, fake, weight=weight)
    assert float(outcome.loss["d"]) == pytest.approx(d, rel=1e-12)
    assert float(outcome.loss["mlp"]) == pytest.approx(makers, rel=1e-12)
    assert float(outcome.loss["mlp_cls"]) == pytest.approx(makers, rel=1e-12)
    assert float(outcome.loss["g"]) == pytest.approx(g, rel=1e-12)


def test_losses_are_those_of_two_heads():
    nets = networks()
    check_losses(make_game(nets), nets, others=images(3, seed=7))
    heavy = make_game(nets, domain_weight=10.0)
    check_losses(heavy, nets, others=images(3, seed=7), weight=10.0)
    with pytest.raises(AssertionError):  # fakes are no images of others
        check_losses(
            make_game(nets), nets, others=tf.zeros([3, *SHAPE], tf.float64)
        )
    with pytest.raises(AssertionError):
        check_losses(heavy, nets, others=images(3, seed=7))


def test_domain_head_may_have_a_loss_of_its_own_and_then_no_penalty():
    nets = networks()
    options = {"penalty_weight": 10.0, "penalty_norm": "sample"}
    penalty = penalties.gradient(**options)
    both = make_game(nets, loss=losses.wasserstein(), penalty=penalty)
    hybrid = make_game(
        nets,
        loss=losses.wasserstein(),
        penalty=penalty,
        domain_loss=losses.non_saturating(),
    )
    vars, real, others = both.init(0), images(5), images(5, seed=7)
    outcomes = [g.losses(vars, real, others, SEED) for g in (both, hybrid)]
    two, one = (float(x.metrics["gradient_penalty"]) for x in outcomes)
    assert two > one > 0.0
    # Only the domain head's bias decides; its place is no matter to penalties.
    moved = {**vars.params["d"], "domain/bias": tf.constant([3.0], tf.float64)}
    shifted = vars._replace(params={**vars.params, "d": moved})
    for game, bounded in ((both, False), (hybrid, True)):
        change = [
            float(game.losses(v, real, others, SEED).loss["g"])
            for v in (vars, shifted)
        ]
        # Wasserstein takes the shift as it is, BCE through a logistic function.
        assert (abs(change[1] - change[0]) < 1.9) == bounded


# Gradients.


def check_gradients(game, wrt):
    vars, others = game.init(0), images(5, seed=7)
    moving = {p: tuple(vars.params[p]) for p in wrt}
    found, _ = game.gradients(vars, images(5), others, SEED, moving)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vars.params)
        loss = game.losses(vars, images(5), others, SEED).loss
    for p in wrt:
        expected = tape.gradient(loss[p], vars.params[p])
        for leaf, gradient in expected.items():
            np.testing.assert_allclose(found[p][leaf], gradient, rtol=1e-9)
            assert np.any(gradient != 0.0)


@pytest.mark.parametrize(
    "wrt", [("d",), ("mlp", "mlp_cls"), ("g",), ("d", "mlp", "mlp_cls", "g")]
)
def test_gradients_are_those_of_the_losses(wrt):
    check_gradients(make_game(domain_weight=3.0), wrt)


def reach(game):
    vars = game.init(0)
    wrt = {p: tuple(vars.params[p]) for p in ("mlp", "mlp_cls")}
    grads, _ = game.gradients(vars, images(5), images(5), SEED, wrt)
    return [float(tf.reduce_max(abs(g))) for g in grads["mlp_cls"].values()]


def test_gradient_reaches_the_condition_network_unless_as_published():
    assert all(size > 1e-4 for size in reach(make_game()))
    assert reach(make_game(as_published=True)) == [0.0, 0.0]


def test_detached_images_are_noticed():
    with pytest.raises(ValueError, match=r"mlp_cls/out/bias.* cannot learn"):
        reach(make_game(networks(cut=True)))


def test_condition_network_does_not_teach_the_discriminator():
    """Features are constant: D's gradient is that of fakes held fixed."""
    check_gradients(make_game(), ("d",))
    game = make_game()
    vars = game.init(0)
    with tf.GradientTape() as tape:
        tape.watch(vars.params["d"])
        seen = game.remember(vars, support())
        features = seen.state["memory"]["features"]
    assert tape.gradient(features, vars.params["d"]["hidden/kernel"]) is None


# Latents.


def drawn(variant, *, known, count=6):
    game = make_game(networks(**VARIANTS[variant]))
    vars = game.init(0)
    if known:
        vars = game.remember(vars, support())
    return vars, game.sample(vars, SEED, count).numpy().reshape(count, -1)


def test_two_mlps_share_the_latent_half_and_half():
    vars, z = drawn("2mlp", known=True)
    assert np.ptp(z[:, :2], axis=0).min() > 1e-3
    features = vars.state["memory"]["features"]
    weights = vars.params["mlp_cls"]
    condition = features[tf.newaxis] @ weights["out/kernel"]
    condition += weights["out/bias"]
    np.testing.assert_allclose(z[:, 2:], np.repeat(condition, 6, 0), rtol=1e-9)
    # Nothing known: noise, another for each image.
    _, prior = drawn("2mlp", known=False)
    assert np.ptp(prior, axis=0).min() > 1e-3
    np.testing.assert_allclose(prior[:, :2], z[:, :2], rtol=1e-9)


@pytest.mark.parametrize(
    ("variant", "varying"), [("concat", 3), ("1mlp", 4), ("noise", 4)]
)
def test_other_latents(variant, varying):
    vars, z = drawn(variant, known=True)
    spread = np.ptp(z, axis=0)
    assert np.all(spread[:varying] > 1e-3)
    assert np.all(spread[varying:] < 1e-12)
    if variant != "concat":
        assert "memory" not in vars.state
    if variant != "1mlp":
        unknown = drawn(variant, known=False)[1]
        np.testing.assert_allclose(unknown[:, :3], z[:, :3], rtol=1e-9)


def test_mean_and_deviation_move_and_stretch_noise():
    vars, z = drawn("mlp_mean_std", known=True)
    noise = drawn("mlp_mean_std", known=False)[1]
    weights, features = vars.params["mlp_cls"], vars.state["memory"]["features"]
    mean, deviation = np.split(
        (features[tf.newaxis] @ weights["out/kernel"]) + weights["out/bias"],
        2,
        axis=1,
    )
    np.testing.assert_allclose(z, deviation * noise + mean, rtol=1e-9)


def test_features_are_the_mean_over_all_support_images():
    game = make_game()
    vars = game.init(0)
    one = game.remember(vars, support(6)).state["memory"]["features"]
    split = tf.reshape(images(6), [3, 2, *SHAPE])
    np.testing.assert_array_equal(
        game.remember(vars, split).state["memory"]["features"], one
    )
    swapped = game.remember(vars, support(6)[:, ::-1])
    np.testing.assert_allclose(
        swapped.state["memory"]["features"], one, rtol=1e-12
    )


def test_fewer_samples_are_the_first_of_more():
    nets = latent_dcgan.build(
        image_size=16, channels=1, width=2, latent_size=3, dtype="float64"
    )
    game = make_game(nets)
    vars = game.init(0)
    many = game.sample(vars, SEED, 70)
    assert many.shape == [70, 16, 16, 1]
    np.testing.assert_allclose(game.sample(vars, SEED, 3), many[:3], atol=1e-9)
    assert np.ptp(many, axis=0).max() > 1e-4


# Images of others.


def d_loss(game, vars, others=None):
    return float(game.losses(vars, images(5), others, SEED).loss["d"])


def test_kept_images_stand_for_others_where_none_are_given():
    alone, keeping = make_game(), make_game(kept_images=4)
    vars = keeping.init(0)
    assert vars.state["kept"]["images"].shape == [4, *SHAPE]
    without = d_loss(alone, alone.init(0))
    assert d_loss(keeping, vars) == pytest.approx(without, rel=1e-12)
    stocked = keeping.stock(vars, np.full([4, *SHAPE], 255, np.uint8))
    white = tf.ones([5, *SHAPE], tf.float64)
    expected = d_loss(keeping, vars, white)
    assert expected != pytest.approx(without, rel=1e-3)
    assert d_loss(keeping, stocked) == pytest.approx(expected, rel=1e-12)
    # Given ones are stronger.
    given = images(5, seed=7)
    assert d_loss(keeping, stocked, given) == d_loss(alone, vars, given)


# Moves and networks.


@pytest.mark.parametrize(
    ("variant", "published", "order"),
    [
        ("2mlp", False, (("d",), ("mlp", "mlp_cls"))),
        ("2mlp", True, (("d",), ("mlp",), ("mlp_cls",))),
        ("1mlp", False, (("d",), ("mlp",))),
        ("noise", False, (("d",),)),
    ],
)
def test_who_moves(variant, published, order):
    nets = networks(**VARIANTS[variant])
    assert make_game(nets, as_published=published).order == order


@pytest.mark.parametrize(
    "wrong", [{"mlp": 3}, {"mlp": 0, "mlp_cls": 4}, {"mlp": 4}]
)
def test_networks_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"--game=latent got networks .*Use"):
        make_game(networks(**wrong))


def test_a_game_of_two_is_refused():
    nets = networks()
    del nets["g"]
    with pytest.raises(ValueError, match="--game=latent got networks"):
        make_game(nets)
    assert isinstance(make_game().init(0), Vars)
