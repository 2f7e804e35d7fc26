"""Inception looks at the right images with the weights it was given."""

import hashlib
import math
import warnings

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.metrics import base, features

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    """Return Inception-v3 with random weights and a classifier of five."""
    keras.utils.set_random_seed(1)
    return keras.applications.InceptionV3(weights=None, classes=5)


def write(path, layers):
    """Write weights in the format of the files that Keras publishes."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in layers if layer.weights]
        file.attrs["layer_names"] = [layer.name for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{i}:0" for i in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = weight.numpy()


@pytest.fixture(scope="module")
def with_head(model, tmp_path_factory):
    """Return a file of all weights in Keras's present format."""
    path = tmp_path_factory.mktemp("inception") / "random.weights.h5"
    with warnings.catch_warnings():
        # Keras 3.15 converts its variables in a way that NumPy 2 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save_weights(path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def without_head(model, tmp_path_factory):
    """Return a file of all weights but the classifier's."""
    path = tmp_path_factory.mktemp("inception") / "random.h5"
    write(path, model.layers[:-1])
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def net(with_head):
    return features.inception(with_head)


@pytest.fixture(scope="module")
def pictures():
    """Bytes of two pictures of the network's own size."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, [2, 299, 299, 3]).astype(np.uint8)


def to_range(pictures):
    return pictures / np.float32(127.5) - 1.0


@pytest.fixture(scope="module")
def expected(model, pictures):
    """Return what Keras itself says of the bytes, prepared as Keras says."""
    prepared = keras.applications.inception_v3.preprocess_input(
        pictures.astype(np.float32)
    )
    pooled = model.get_layer("avg_pool").output
    both = keras.Model(model.input, [pooled, model.output])
    features, probs = both(prepared, training=False)
    return base.Predictions(features.numpy(), np.log(probs))


def check(predictions, expected):
    """Compare; convolutions may round otherwise in a graph than eagerly."""
    for ours, theirs in zip(predictions, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_features_and_probabilities_are_kerass(net, pictures, expected):
    check(net(to_range(pictures)), expected)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda x: x / np.float32(255.0),
        lambda x: to_range(x[:, :, ::-1]),
        lambda x: to_range(x[..., ::-1]),
        lambda x: to_range(x[::-1]),
    ],
    ids=["0 to 1", "mirrored", "BGR", "order"],
)
def test_other_preparation_is_noticed(net, pictures, expected, prepare):
    with pytest.raises(AssertionError):
        check(net(prepare(pictures)), expected)


def test_without_a_classifier_there_are_no_probabilities(
    without_head, pictures, expected
):
    predictions = features.inception(without_head)(to_range(pictures))
    check(predictions, (expected.features, np.zeros([2, 0])))
    assert predictions.features.dtype == np.float32
    assert predictions.log_probs.dtype == np.float32


def test_it_says_what_it_is(with_head, net):
    digest = hashlib.md5(with_head.read_bytes()).hexdigest()
    assert net.name == f"inception_v3_keras_{digest[:8]}"
    assert net.classes == ()
    assert net.held_out_accuracy is None


def test_grey_images_are_seen_as_rgb_of_equal_channels(net):
    grey = np.random.default_rng(1).uniform(-1.0, 1.0, [2, 32, 32, 1])
    check(net(grey), net(np.repeat(grey, 3, axis=-1)))


def enlarged(image):
    """Restate: bilinear, pixels have their value in their middle."""
    place = (np.arange(299) + 0.5) * image.shape[1] / 299 - 0.5
    place = np.clip(place, 0.0, image.shape[1] - 1.0)
    weights = 1.0 - np.abs(place[:, np.newaxis] - np.arange(image.shape[1]))
    weights = np.maximum(weights, 0.0)
    return np.einsum("yh,xw,nhwc->nyxc", weights, weights, image)


def test_small_images_are_enlarged_bilinearly(net):
    image = np.random.default_rng(2).uniform(-1.0, 1.0, [1, 16, 16, 3])
    found = net(image)
    check(found, net(enlarged(image)))
    nearest = tf.image.resize(image, [299, 299], method="nearest").numpy()
    with pytest.raises(AssertionError):
        check(found, net(nearest))


def test_batches_give_what_the_whole_gives(net, monkeypatch):
    images = np.random.default_rng(3).uniform(-1.0, 1.0, [3, 32, 32, 1])
    whole = net(images)
    monkeypatch.setattr(features, "_BATCH", 2)
    check(net(images), whole)


# Refusals.


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (0, 8, 8, 1)])
def test_images_of_another_shape_are_refused(net, shape):
    with pytest.raises(
        ValueError, match=r"expected \[n, H, W, C\] with 1 or 3"
    ):
        net(np.zeros(shape))


def test_images_out_of_range_are_refused(net):
    with pytest.raises(ValueError, match=r"magnitude 255: .*127\.5 - 1"):
        net(np.full([1, 8, 8, 1], 255))
    with pytest.raises(ValueError, match="`images` is not finite in 1 of 2"):
        net(np.array([0.0, math.nan]).reshape(2, 1, 1, 1))


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no file .*Download them from"
    ):
        features.inception(tmp_path / "absent.h5")


def test_file_of_something_else_is_refused(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("not weights")
    other = tmp_path / "other.h5"
    inputs = keras.Input([2048])
    write(other, keras.Model(inputs, keras.layers.Dense(4)(inputs)).layers)
    for path in (text, other):
        with pytest.raises(ValueError, match="does not hold the weights of K"):
            features.inception(path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keras's cache is an empty folder."""
    get_file = keras.utils.get_file

    def into_folder(**options):
        return get_file(**options, cache_dir=str(tmp_path))

    monkeypatch.setattr(keras.utils, "get_file", into_folder)
    return tmp_path


@pytest.mark.parametrize("weights", [None, "download"])
def test_without_network_nothing_takes_its_place(cache, monkeypatch, weights):
    monkeypatch.setattr(features, "_URL", (cache / "absent.h5").as_uri())
    with pytest.raises(
        OSError, match=r"cannot be had: URL fetch.*weights_file"
    ):
        features.inception(weights)


def test_damaged_download_is_refused(cache, monkeypatch):
    (cache / "source.h5").write_text("cut off")
    monkeypatch.setattr(features, "_URL", (cache / "source.h5").as_uri())
    with pytest.raises(OSError, match=r"cannot be had: Incomplete or corrupt"):
        features.inception()


def test_published_weights_have_the_plain_name(
    cache, monkeypatch, without_head
):
    digest = hashlib.md5(without_head.read_bytes()).hexdigest()
    monkeypatch.setattr(features, "_URL", without_head.as_uri())
    monkeypatch.setattr(features, "_MD5", digest)
    downloaded = features._download()
    assert downloaded.startswith(str(cache))
    assert features._name(downloaded) == f"inception_v3_keras_{digest[:8]}"
    monkeypatch.setattr(features, "_PUBLISHED", (digest,))
    assert features._name(downloaded) == "inception_v3_keras"
