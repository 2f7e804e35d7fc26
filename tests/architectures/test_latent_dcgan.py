"""Sizes of the latent family and of its baseline."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.architectures import cdcgan, latent_dcgan
from tf_metagan.core import functional

PUBLISHED = {
    ("1mlp", 1, "batch"): {"d": 665_344, "g": 1_066_880, "mlp": 20_200},
    ("2mlp", 1, "batch"): {
        "d": 665_344,
        "g": 1_476_480,
        "mlp": 20_200,
        "mlp_cls": 35_800,
    },
    ("1mlp", 3, "batch"): {"d": 667_392, "g": 1_068_928, "mlp": 20_200},
    ("2mlp", 3, "instance"): {
        "d": 667_456,
        "g": 1_478_528,
        "mlp": 20_200,
        "mlp_cls": 35_800,
    },
}


def build(module=latent_dcgan, **changes):
    sizes = {"image_size": 32, "channels": 1, "width": 64, "latent_size": 100}
    return module.build(**{**sizes, **changes})


def counts(**changes):
    return {p: net.count_params() for p, net in build(**changes).items()}


@pytest.mark.parametrize("which", PUBLISHED)
def test_parameter_counts_are_those_of_the_scripts(which):
    variant, channels, normalisation = which
    found = counts(
        variant=variant, channels=channels, normalisation=normalisation
    )
    assert found == PUBLISHED[which]


@pytest.mark.parametrize(
    ("variant", "players", "drawn"),
    [
        ("concat", {"mlp_cls": 30}, 100),
        ("mlp_mean_std", {"mlp_cls": 200}, 100),
        ("noise", {}, 100),
    ],
)
def test_modes_of_the_follow_up(variant, players, drawn):
    nets = build(variant=variant)
    assert nets["g"].input_shape == (None, drawn)
    makers = {p: net.output_shape[-1] for p, net in nets.items() if "mlp" in p}
    assert makers == players


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


def test_selu_replaces_every_norm_and_activation():
    for net in (build(normalisation="selu")[p] for p in ("d", "g")):
        assert not {name for name in kinds(net) if "Norm" in name}
        assert "LeakyReLU" not in kinds(net)
        acts = [x for x in net.layers if isinstance(x, keras.layers.Activation)]
        assert {x.activation.__name__ for x in acts} == {"selu"}
    plain = build()
    assert {"BatchNorm", "LeakyReLU"} <= kinds(plain["d"])
    assert "InstanceNorm" in kinds(build(normalisation="instance")["d"])


def test_initial_weights_are_those_asked_for():
    """N(0, 0.02) and N(1, 0.02), as 3 % of their deviation; MLPs as PyTorch."""
    nets = build()
    weights = functional.from_keras(nets["g"]).init(0)[0]
    for leaf, mean in (("up1/kernel", 0.0), ("stem_norm/gamma", 1.0)):
        value = weights[leaf].numpy()
        assert value.mean() == pytest.approx(mean, abs=5e-3)
        assert value.std() == pytest.approx(0.02, rel=0.15)
    weights = functional.from_keras(nets["mlp_cls"]).init(0)[0]
    bound = np.abs(weights["hidden/kernel"]).max()
    assert bound == pytest.approx(1 / 16, rel=0.03)  # fan-in 256
    assert 0 < np.abs(weights["out/bias"]).max() <= 0.1  # fan-in 100


def test_labels_cost_ten_maps_and_ten_numbers():
    plain = build(variant="1mlp")
    told = build(cdcgan)
    more = told["d"].count_params() - plain["d"].count_params()
    assert more == 10 * 4 * 4 * 64 - 4 * 4 * 256  # one head less
    more = told["g"].count_params() - plain["g"].count_params()
    assert more == 10 * 4 * 4 * 256


def test_maps_are_those_that_a_convolution_sees():
    rng = np.random.default_rng(0)
    kernel, label = rng.normal(size=(4, 4, 3, 5)), rng.normal(size=(2, 3))
    maps = np.broadcast_to(label[:, None, None, :], (2, 16, 16, 3))
    expected = tf.nn.conv2d(maps, kernel, 2, "SAME")
    taps = tf.reshape(tf.einsum("nl,yxlw->nyxw", label, kernel), [2, -1])
    found = cdcgan.Maps(16, name="maps", dtype="float64")(taps)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # The borders have fewer taps.
    assert np.ptp(found[0, 1:-1, 1:-1], axis=(0, 1)).max() < 1e-12
    assert np.ptp(found[0], axis=(0, 1)).min() > 1e-3
