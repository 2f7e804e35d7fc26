"""Places of single images; the weights of Inception are random here."""

import keras
import numpy as np
import pytest

from tests.metrics.test_single_image import photograph
from tf_metagan.metrics import features, sifid


def pixels(images):
    """Return the pixels themselves as places."""
    images = np.asarray(images)
    return images.reshape(len(images), -1, images.shape[-1])


def test_copies_are_not_apart_wherever_their_places_are():
    image = photograph()
    turned = np.stack([image, image[::-1], image[:, ::-1]])
    assert sifid.sifid(image, turned, pixels) == pytest.approx(0.0, abs=1e-12)


def test_distance_by_hand():
    """A shift of all places by v is apart by |v|^2."""
    image = 0.5 * photograph()
    shifted = image + np.array([0.1, 0.0, -0.2])
    found = sifid.sifid(image, np.stack([image, shifted]), pixels)
    assert found == pytest.approx((0.0 + 0.05) / 2)
    together = pixels(np.stack([image, shifted])).reshape(1, -1, 3)
    pooled = sifid.sifid(
        image, image[np.newaxis], lambda x: together if x is not image else x
    )
    assert pooled != pytest.approx(0.025)  # all samples as one


@pytest.mark.slow
def test_stems_end_before_the_poolings_and_keep_the_size():
    inception = keras.applications.InceptionV3(include_top=False, weights=None)
    image = photograph()[np.newaxis]
    for channels, places in ((64, 21 * 29), (192, 8 * 12)):
        net = sifid.Places(inception, name="random", channels=channels)
        found = net(image)
        assert found.shape == (1, places, channels)
        assert found.min() >= 0.0  # after ReLU
    grey = net(image[..., :1])
    assert grey.shape == found.shape


def test_other_layers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="channels=100 is no layer"):
        sifid.places(tmp_path / "absent", channels=[64, 100])


def test_a_file_is_loaded_once_for_both_layers(monkeypatch):
    pictures = keras.Input([None, None, 3])
    x = pictures
    for width in (64, 192):
        x = keras.layers.Conv2D(width, 1)(x)
        x = keras.layers.MaxPooling2D()(x)
    small = features.Inception(
        keras.Model(pictures, x), name="x", has_head=False
    )
    loaded = []
    monkeypatch.setattr(
        features, "inception", lambda path: loaded.append(path) or small
    )
    nets = sifid.places("file", channels=sifid.LAYERS)
    assert loaded == ["file"]
    assert [net.channels for net in nets] == [64, 192]
    shapes = [net(photograph()[np.newaxis]).shape[-1] for net in nets]
    assert shapes == [64, 192]
