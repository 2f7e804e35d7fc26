"""Embeddings that begin with the weights of torchvision's ResNets."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.architectures import pyramid
from tf_metagan.core import functional, rng
from tf_metagan.gan import resnet_weights
from tf_metagan.types import Vars

MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])
WIDTHS = (64, 128, 256, 512)
ROUNDING = 1e-5  # Keras normalises in single precision


@pytest.fixture(scope="module")
def stored():
    """Return a state_dict of resnet18 with drawn numbers, as float64."""
    generator = np.random.default_rng(0)
    found = {"fc.weight": np.zeros([1000, 512]), "fc.bias": np.zeros([1000])}

    def convolution(name, outputs, inputs, side):
        bound = (2.0 / (inputs * side**2)) ** 0.5
        shape = [outputs, inputs, side, side]
        found[f"{name}.weight"] = bound * generator.normal(size=shape)

    def norm(name, width):
        found[f"{name}.weight"] = generator.uniform(0.5, 1.5, [width])
        found[f"{name}.bias"] = 0.1 * generator.normal(size=[width])
        found[f"{name}.running_mean"] = 0.1 * generator.normal(size=[width])
        found[f"{name}.running_var"] = generator.uniform(0.5, 1.5, [width])

    convolution("conv1", 64, 3, 7)
    norm("bn1", 64)
    inputs = 64
    for part, width in enumerate(WIDTHS, start=1):
        for block in range(2):
            place = f"layer{part}.{block}"
            convolution(f"{place}.conv1", width, inputs, 3)
            norm(f"{place}.bn1", width)
            convolution(f"{place}.conv2", width, width, 3)
            norm(f"{place}.bn2", width)
            if inputs != width:
                convolution(f"{place}.downsample.0", width, inputs, 1)
                norm(f"{place}.downsample.1", width)
            inputs = width
    return found


def reference(stored, images):
    """Compute torchvision's features of images in [-1, 1], average included.

    The image is framed by grey, then normalised.
    """

    def convolve(x, name, stride, frame):
        kernel = stored[f"{name}.weight"].transpose(2, 3, 1, 0)
        x = np.pad(x, [(0, 0), (frame, frame), (frame, frame), (0, 0)])
        return tf.nn.conv2d(x, kernel, stride, "VALID").numpy()

    def norm(x, name):
        mean, square = (
            stored[f"{name}.running_{which}"] for which in ("mean", "var")
        )
        x = (x - mean) / np.sqrt(square + 1e-5)
        return x * stored[f"{name}.weight"] + stored[f"{name}.bias"]

    framed = np.pad(images, [(0, 0), (3, 3), (3, 3), (0, 0)])
    x = ((framed + 1) / 2 - MEAN) / DEVIATION
    x = np.maximum(norm(convolve(x, "conv1", 2, 0), "bn1"), 0)
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    x = tf.nn.max_pool2d(x, 3, 2, "VALID").numpy()
    for part in range(1, 5):
        for block in range(2):
            place = f"layer{part}.{block}"
            stride = 2 if part > 1 and block == 0 else 1
            y = convolve(x, f"{place}.conv1", stride, 1)
            y = np.maximum(norm(y, f"{place}.bn1"), 0)
            y = norm(convolve(y, f"{place}.conv2", 1, 1), f"{place}.bn2")
            if f"{place}.downsample.0.weight" in stored:
                x = convolve(x, f"{place}.downsample.0", stride, 0)
                x = norm(x, f"{place}.downsample.1")
            x = np.maximum(x + y, 0)
    return x.mean((1, 2))


def drawn(embedding="resnet18", channels=3):
    """Return (network, Vars of its weights as a game names them)."""
    nets = pyramid.build(
        channels=channels,
        embedding=embedding,
        embedding_size=64,
        features=5,
        hypernetworks="shared_d",
        dtype="float64",
    )
    net = functional.from_keras(nets["g"])
    params, state = (
        {f"embed/{leaf}": x for leaf, x in part.items()} for part in net.init(0)
    )
    params["scale0/conv1/kernel/weights"] = tf.ones([5, 2], tf.float64)
    return net, Vars({"d": {}, "g": params}, {"d": {}, "g": state}, {})


def saved(tmp_path, stored):
    path = str(tmp_path / "resnet.npz")
    np.savez(path, **stored)
    return path


def test_embedding_is_that_of_the_file(tmp_path, stored):
    net, vars = drawn()
    filled = resnet_weights.put(vars, saved(tmp_path, stored))
    images = np.random.default_rng(1).uniform(-1, 1, [2, 64, 64, 3])

    def embed(vars):
        params, state = (
            {
                leaf.removeprefix("embed/"): x
                for leaf, x in part["g"].items()
                if leaf.startswith("embed/")
            }
            for part in (vars.params, vars.state)
        )
        found, _ = net.apply(
            params, state, images, rng.make_seed(0), training=False
        )
        return found.numpy()

    last = vars.params["g"]
    expected = reference(stored, images) @ last["embed/features/kernel"].numpy()
    expected += last["embed/features/bias"].numpy()
    np.testing.assert_allclose(embed(filled), expected, rtol=ROUNDING)
    assert np.abs(embed(vars) - expected).max() > 1e-3
    np.testing.assert_array_equal(
        filled.params["g"]["scale0/conv1/kernel/weights"],
        vars.params["g"]["scale0/conv1/kernel/weights"],
    )


def test_every_weight_of_resnet34_has_a_place():
    _, vars = drawn("resnet34")
    leaves = {**vars.params["g"], **vars.state["g"]}
    keys = [resnet_weights._key(leaf) for leaf in leaves]
    assert sum(key is None for key in keys) == 3  # two of features, one head
    named = [key for key in keys if key]
    assert len(set(named)) == len(named) == 36 * 5
    assert {"layer3.5.bn2.running_var", "layer2.0.downsample.1.bias"} < {*named}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.weight": None}, r"no conv1.weight; expected the state_dict"),
        (
            {"layer4.1.conv2.weight": None},
            r"has nothing for layer4.1.conv2.weight; expected \(3, 3, 512",
        ),
        (
            {"bn1.weight": np.ones([3])},
            r"has \(3,\) for bn1.weight; expected \(64,\)",
        ),
        ({"conv1.weight": np.ones([64, 1, 7, 7])}, r"1 channels; expected 3"),
        (  # resnet34, whose first blocks have the shapes of resnet18's
            {f"layer1.2.conv{i}.weight": np.ones([3]) for i in (1, 2)},
            r"has layer1.2.conv1.weight and 1 other convolutions more than",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, stored, change, message):
    kept = {k: x for k, x in {**stored, **change}.items() if x is not None}
    _, vars = drawn()
    with pytest.raises(ValueError, match=message):
        resnet_weights.put(vars, saved(tmp_path, kept))


def test_embeddings_of_another_kind_are_refused(tmp_path, stored):
    path = saved(tmp_path, stored)
    _, vars = drawn("small")
    with pytest.raises(ValueError, match=r"resnet18 or resnet34, and these"):
        resnet_weights.put(vars, path)
    with pytest.raises(ValueError, match=r"and these players have neither"):
        resnet_weights.put(Vars({"d": {}}, {"d": {}}, {}), path)


def test_a_missing_file_is_named(tmp_path):
    _, vars = drawn()
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        resnet_weights.put(vars, str(tmp_path / "absent.npz"))


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04 cut off"])
def test_a_file_without_arrays_is_told_so(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    _, vars = drawn()
    with pytest.raises(ValueError, match=r"broken\.npz is no file of NumPy"):
        resnet_weights.put(vars, str(path))
