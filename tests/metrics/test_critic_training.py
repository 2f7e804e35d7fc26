"""Training a critic: what it is shown, that it learns, that it says so."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.metrics import critic_network, critic_training

RECIPE = {
    "steps": 40,
    "batch_size": 16,
    "rate": 3e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "affine": 1.0,
    "elastic": 0.5,
    "seed": 0,
}


def recipe(**changes):
    return critic_training.Recipe(**{**RECIPE, **changes})


def network(*, num_classes=3, seed=0, dropout=0.2):
    return critic_network.build(
        num_classes=num_classes,
        image_size=16,
        channels=1,
        widths=(4, 8, 8, 8),
        dropout=dropout,
        seed=seed,
    )


def bars(n, *, seed):
    """Return (images, column): bars that lie, stand or are absent."""
    draw = np.random.default_rng(seed)
    column = draw.integers(0, 3, n)
    images = draw.integers(0, 30, [n, 16, 16, 1]).astype(np.uint8)
    for image, kind, place in zip(
        images, column, draw.integers(4, 12, n), strict=True
    ):
        if kind == 0:
            image[place] = 255
        elif kind == 1:
            image[:, place] = 255
    return images, column


def accuracy(model, images, column):
    x = images.astype(np.float32) / 127.5 - 1
    logits = model(x, training=False)[1].numpy()
    return (logits.argmax(axis=1) == column).mean()


def batches(**changes):
    images, column = bars(50, seed=0)
    return list(
        critic_training._batches(
            images, column, num_classes=3, recipe=recipe(**changes)
        ).as_numpy_iterator()
    )


def test_training_learns_what_it_did_not_see():
    model = network()
    shown, new = bars(200, seed=0), bars(200, seed=1)
    before = accuracy(model, *new)
    critic_training.train(model, *shown, recipe(steps=100))
    assert before < 0.6
    assert accuracy(model, *new) > 0.9  # chance is 1/3
    wrong = (new[1] + 1) % 3  # labels off by one
    assert accuracy(model, new[0], wrong) < 0.1


def test_training_repeats_with_its_seed():
    shown = bars(64, seed=0)
    results = []
    for seed in (0, 0, 1):
        model = network()
        critic_training.train(model, *shown, recipe(steps=3, seed=seed))
        results.append(model.get_layer("logits").get_weights()[0])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-6)
    assert not np.allclose(results[0], results[2], rtol=1e-4, atol=1e-6)


def test_each_image_comes_once_a_round():
    # 50 images, batches of 16: rounds of three batches.
    plain = batches(steps=7, affine=0.0, elastic=0.0)
    assert len(plain) == 7
    for first in (0, 3):
        shown = np.concatenate([x for x, _ in plain[first : first + 3]])
        assert len(np.unique(shown, axis=0)) == 48
    images, column = bars(50, seed=0)
    known = {
        image.tobytes(): own for image, own in zip(images, column, strict=True)
    }
    for x, target in plain:
        bytes_again = np.rint((x + 1) * 127.5).astype(np.uint8)
        own = [known[image.tobytes()] for image in bytes_again]
        assert (target == np.eye(3)[own]).all()


def test_batches_follow_from_the_seed():
    one, same, other = (batches(steps=4, seed=s) for s in (0, 0, 1))
    np.testing.assert_allclose(one[3][0], same[3][0], atol=1e-5)
    assert np.abs(one[3][0] - other[3][0]).max() > 0.1


def distort(images, **changes):
    given = {"affine": 1.0, "elastic": 1.0, **changes}
    return critic_training.distort(
        tf.constant(images), rng.make_seed(5), **given
    ).numpy()


def centre(images):
    """Return the centre of mass of ink, [n, 2], from the middle of images."""
    ink = (images[..., 0] + 1) / 2
    place = np.stack(np.meshgrid(*[np.arange(s) for s in ink.shape[1:]]), -1)
    mass = ink.sum((1, 2))[:, None]
    middle = (np.array(ink.shape[1:]) - 1) / 2
    return np.einsum("nyx,yxd->nd", ink, place) / mass - middle


def dots(n, *, size=32):
    """Return n images with a blurred dot in the middle."""
    x = np.arange(size) - (size - 1) / 2
    dot = 2 * np.exp(-(x[:, None] ** 2 + x**2) / 8) - 1
    return np.tile(dot[None, :, :, None], [n, 1, 1, 1]).astype(np.float32)


def test_no_distortion_is_the_identity():
    images = dots(2)
    assert (distort(images, affine=0.0, elastic=0.0) == images).all()
    assert (distort(images, elastic=0.0) != images).any()
    assert (distort(images, affine=0.0) != images).any()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_affine_maps_shift_as_far_as_they_say(strength):
    moved = centre(distort(dots(2000), affine=strength, elastic=0.0))
    # Uniform in +-2.5 pixels of the result, which maps scale by exp(+-0.15).
    reach = 2.5 * strength
    assert np.abs(moved).max() < reach * np.exp(0.15 * strength) * 1.25
    np.testing.assert_allclose(moved.std(axis=0), reach / np.sqrt(3), rtol=0.1)
    assert np.abs(moved.mean(axis=0)).max() < 0.1


def test_what_comes_from_outside_is_dark():
    bright = np.ones([50, 16, 16, 1], np.float32)
    moved = distort(bright, elastic=0.0)
    corners = moved[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == -1).any()
    assert moved.min() >= -1
    assert moved.max() <= 1 + 1e-6


def test_first_columns_keep_their_meaning():
    model = network(num_classes=5)
    x = bars(4, seed=0)[0] / 127.5 - 1
    features, logits = (y.numpy() for y in model(x, training=False))
    kept = critic_network.first_columns(model, 3)
    again = [y.numpy() for y in kept(x, training=False)]
    np.testing.assert_allclose(again[0], features, rtol=1e-6)
    np.testing.assert_allclose(again[1], logits[:, :3], rtol=1e-5, atol=1e-6)
    assert np.abs(again[1] - logits[:, 1:4]).max() > 1e-3  # off by one
    assert {v.path for v in kept.weights} == {v.path for v in model.weights}
    assert critic_network.first_columns(model, 5) is model


def test_network_is_small_and_has_four_blocks():
    model = critic_network.build(
        num_classes=659,
        image_size=32,
        channels=1,
        widths=(32, 64, 128, 128),
        dropout=0.0,
    )
    assert model.count_params() < 700_000
    blocks = {w.path.split("_")[0] for w in model.weights}
    assert {b for b in blocks if b.startswith("block")} == {
        f"block{i}" for i in (1, 2, 3, 4)
    }
    assert model.get_layer("block1_relu").output.shape[1:] == (16, 16, 32)
    assert model.get_layer("block4_relu").output.shape[1:] == (4, 4, 128)


def test_initial_weights_follow_from_the_seed():
    def first(seed):
        return network(seed=seed).get_layer("stem_conv").get_weights()[0]

    assert (first(0) == first(0)).all()
    assert (first(0) != first(1)).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (4, 4)}, r"--widths came with 2 numbers; expected one for"),
        ({"image_size": 20}, r"--image_size=20 does not fit .* multiple of 8"),
    ],
)
def test_networks_that_cannot_be_are_refused(changes, message):
    given = {"image_size": 16, "widths": (4,) * 4, **changes}
    with pytest.raises(ValueError, match=message):
        critic_network.build(num_classes=3, channels=1, dropout=0.0, **given)


def test_too_few_images_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="--batch_size=16 is more than the 9"):
        critic_training.train(network(), *bars(9, seed=0), recipe())


def test_progress_is_told(caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        critic_training.train(network(), *bars(16, seed=0), recipe(steps=4))
    assert "step 4: loss " in caplog.text


def test_loss_that_is_not_finite_stops_training():
    with pytest.raises(FloatingPointError, match=r"loss is nan .* Use a small"):
        critic_training.train(
            network(), *bars(64, seed=0), recipe(rate=1e30, steps=40)
        )
