"""Files decoded in the graph, against what Pillow makes of them."""

import functools
import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tf_metagan.data import base as data
from tf_metagan.data import picture_files
from tf_metagan.exporting import codecs

# A level of 255 in [-1, 1]: colours, luminance and two passes of the filter
# are rounded in another order.
LEVEL = 2 / 255


def smooth(width, height, *, seed=0):
    """Return colours that change slowly, so that filters matter little."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (4, 4, 4), np.uint8)
    return PIL.Image.fromarray(coarse, "RGBA").resize((width, height))


def sharp(width, height):
    """Return black strokes on white."""
    picture = np.full((height, width), 255, np.uint8)
    picture[height // 3] = 0
    picture[:, width // 2] = 0
    return PIL.Image.fromarray(picture)


def deep(width, height):
    """Return grey of 16 bits."""
    values = np.asarray(smooth(width, height).convert("L"), np.uint16)
    return PIL.Image.fromarray(values * 251 + 17)


def see_through(width, height):
    """Return a palette of which one entry is transparent."""
    picture = smooth(width, height).convert("RGB").quantize(16)
    picture.info["transparency"] = 3
    return picture


PICTURES = {
    "grey": lambda *size: smooth(*size).convert("L"),
    "colour": lambda *size: smooth(*size).convert("RGB"),
    "alpha": smooth,
    "grey and alpha": lambda *size: smooth(*size).convert("LA"),
    "palette": lambda *size: smooth(*size).convert("RGB").quantize(32),
    "transparent palette": see_through,
    "one bit": lambda *size: sharp(*size).convert("1"),
    "sixteen bits": deep,
    "strokes": sharp,
}
SIZES = [(16, 16), (40, 23), (7, 5), (16, 33), (100, 31)]


@functools.cache
def decoder(channels):
    return tf.function(
        lambda files: codecs.decode(files, (16, 16, channels)),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


def compare(path, channels):
    expected = data.to_range(
        picture_files.read(path, image_size=16, channels=channels)
    )
    files = tf.constant([path.read_bytes()])
    (found,) = decoder(channels)(files).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1.01 * LEVEL)
    return found, expected


@pytest.mark.parametrize("kind", PICTURES)
def test_png_files_become_what_pillow_makes_of_them(tmp_path, kind):
    for size in SIZES:
        path = tmp_path / f"{size}.png"
        PICTURES[kind](*size).save(path)
        for channels in (1, 3):
            compare(path, channels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_files_become_what_pillow_makes_of_them(tmp_path, mode):
    for size in SIZES[:3]:
        path = tmp_path / f"{size}.jpg"
        smooth(*size).convert(mode).save(path, quality=90)
        for channels in (1, 3):
            compare(path, channels)


def test_pictures_of_the_right_size_keep_every_bit(tmp_path):
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (16, 16), np.uint8)
    path = tmp_path / "noise.png"
    PIL.Image.fromarray(noise).save(path)
    found, expected = compare(path, 1)
    np.testing.assert_array_equal(found, expected)


def test_the_comparison_sees_another_treatment(tmp_path):
    path = tmp_path / "wide.png"
    smooth(40, 23).convert("L").save(path)
    grey = picture_files.read(path, image_size=16, channels=1)
    colour = picture_files.read(path, image_size=16, channels=3)
    assert np.abs(grey.astype(int) - colour).max() > 10


def test_samples_come_back_from_their_files():
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 256, (3, 16, 16, 3), np.uint8)
    files = codecs.encode(tf.constant(data.to_range(levels)))
    for file, expected in zip(files.numpy(), levels, strict=True):
        with PIL.Image.open(io.BytesIO(file)) as picture:
            assert picture.format == "PNG"
            np.testing.assert_array_equal(np.asarray(picture), expected)


def png(width, height):
    file = io.BytesIO()
    PIL.Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def four_inks():
    file = io.BytesIO()
    PIL.Image.new("CMYK", (8, 8)).save(file, "JPEG")
    return file.getvalue()


def inspected(*files):
    return codecs.inspect(tf.constant(list(files)), pixels=100).numpy().decode()


def test_headers_say_what_is_not_decoded():
    good = png(10, 10)
    assert inspected(good, good) == ""
    assert inspected(good, png(101, 1)) == (
        "image_bytes[1] has 101 x 1 pixels; expected at most 100"
    )
    # A header is believed, whatever follows it, and never overflows.
    huge = good[:16] + b"\xff" * 8 + good[24:]
    assert "has 4294967295 x 4294967295 pixels" in inspected(huge)
    assert "four inks" in inspected(four_inks())
    for bad in (b"", b"GIF89a", b"\x89PNG", b"BM", good[1:]):
        assert inspected(good, bad, good) == (
            "image_bytes[1] is neither a PNG nor a JPEG file; expected one of "
            "these"
        )
