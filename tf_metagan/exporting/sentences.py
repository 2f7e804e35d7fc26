"""Checks inside the graph that say in a sentence what is wrong.

A check is a string scalar: "" where all is well. `gate` turns it into an error
of the whole request, a batch hands it out row by row.

Whoever runs the graph need not have compared shapes with the signature: the C
session and TensorFlow Serving do not. So nothing here relies on the static
shape of an input.
"""

import tensorflow as tf

from tf_metagan.exporting.terms import Limits

_SLACK = 1e-5  # beyond [-1, 1]: rounding of those who scale bytes


def first(*sentences) -> tf.Tensor:
    """Return the first sentence that is not empty, or ""."""
    found = tf.constant("")
    for sentence in reversed(sentences):
        found = tf.where(tf.equal(sentence, ""), found, sentence)
    return found


def unless(good, *parts) -> tf.Tensor:
    """Return "" where `good`, else the parts as one text.

    Args:
      good: boolean scalar.
      *parts: Python texts, and scalars of any type.
    """
    texts = [p if isinstance(p, str) else _text(p) for p in parts]
    return tf.where(good, "", tf.strings.join(texts))


def gate(sentence, *tensors) -> list[tf.Tensor]:
    """Return tensors that exist only if the sentence is empty.

    An Assert alone orders nothing: whatever does not depend on it runs beside
    it, so a request for 10^8 images would be served before it is refused.
    """
    check = tf.debugging.Assert(tf.equal(sentence, ""), [sentence])
    with tf.control_dependencies([check]):
        return [tf.identity(tensor) for tensor in tensors]


def shape_text(tensor) -> tf.Tensor:
    """Return the true shape of a tensor as text: "4, 28, 28, 1"."""
    return tf.strings.reduce_join(
        tf.strings.as_string(tf.raw_ops.Shape(input=tensor)), separator=", "
    )


def images(tensor, image_shape, limits: Limits) -> tf.Tensor:
    """Check [K, H, W, C] images in [-1, 1], K >= 1."""
    return first(
        frame(tensor, image_shape, "K", "images"),
        count(number(tensor, image_shape), limits.images, "images"),
        values(tensor, "images"),
    )


def frame(tensor, image_shape, axes: str, name: str) -> tf.Tensor:
    """Check the shape of images.

    Args:
      tensor: images.
      image_shape: (H, W, C).
      axes: names of the axes in front, "K" or "B, n".
      name: of the input.
    """
    size = ", ".join(str(side) for side in image_shape)
    pattern = r"\d+, " * (axes.count(",") + 1) + size
    found = shape_text(tensor)
    return unless(
        tf.strings.regex_full_match(found, pattern),
        f"{name} has the shape [",
        found,
        f"]; expected [{axes}, {size}]",
    )


def count(found, most: int, what: str) -> tf.Tensor:
    """Check that there are 1 to `most` of something."""
    return unless(
        (found >= 1) & (found <= most),
        "there are ",
        found,
        f" {what}; expected 1 to {most}",
    )


def number(tensor, image_shape) -> tf.Tensor:
    """Return how many images there are, int64, whatever the rank is."""
    height, width, channels = image_shape
    pixels = tf.size(tensor, tf.int64)
    return pixels // (height * width * channels)


def photographs(
    tensor, *, axes: str, channels: int, pixels: int, aspect: int, name: str
) -> tf.Tensor:
    """Check photographs of one size, which may be any.

    Args:
      tensor: [..., h, w, channels] in [-1, 1].
      axes: names of its axes but the last: "h, w" or "n, h, w".
      channels: expected.
      pixels: the most of one photograph.
      aspect: the most by which one side is longer than the other.
      name: of the input.
    """
    pattern = r"\d+, " * (axes.count(",") + 1) + str(channels)
    found = shape_text(tensor)
    # Whatever the rank is; a photograph of no pixels has no aspect.
    sides = tf.concat([[0, 0, 0], tf.shape(tensor)], 0)[-3:-1]
    height, width = tf.unstack(tf.cast(sides, tf.int64))
    fits = (height <= aspect * width) & (width <= aspect * height)
    return first(
        unless(
            tf.strings.regex_full_match(found, pattern),
            f"{name} has the shape [",
            found,
            f"]; expected [{axes}, {channels}]",
        ),
        unless(
            (height * width > 0) & (height * width <= pixels),
            f"{name} has ",
            width,
            " x ",
            height,
            f" pixels; expected 1 to {pixels} pixels",
        ),
        unless(
            fits,
            f"{name} has ",
            width,
            " x ",
            height,
            f" pixels; expected an aspect between 1 : {aspect} and "
            f"{aspect} : 1. Crop it",
        ),
        values(tensor, name),
    )


def side(value, least: int, most: int, name: str) -> tf.Tensor:
    """Check the side of what is to be drawn: 0, or `least` to `most`."""
    flat = tf.reshape(value, [-1])
    own = tf.reduce_all(tf.equal(flat, 0))
    return first(
        between(value, 0, most, name),
        unless(
            own | tf.reduce_all(flat >= least),
            f"{name} is ",
            tf.reduce_min(flat),
            f"; expected 0 or {least} to {most}",
        ),
    )


def values(tensor, name: str) -> tf.Tensor:
    """Check that all values are finite and in [-1, 1]."""
    flat = tf.reshape(tensor, [-1])
    low, high = tf.reduce_min(flat), tf.reduce_max(flat)
    return first(
        unless(
            tf.reduce_all(tf.math.is_finite(flat)),
            f"{name} holds NaN or infinite values; expected numbers in [-1, 1]",
        ),
        unless(
            (low >= -1.0 - _SLACK) & (high <= 1.0 + _SLACK),
            f"{name} holds values from ",
            low,
            " to ",
            high,
            "; expected [-1, 1]: byte / 127.5 - 1",
        ),
    )


def between(value, low: int, high: int, name: str) -> tf.Tensor:
    """Check a single number, whole or not."""
    shape = _small_shape_text(value)
    flat = tf.reshape(value, [-1])
    return first(
        unless(
            tf.equal(shape, ""),
            f"{name} has the shape [",
            shape,
            "]; expected a single number",
        ),
        unless(
            tf.reduce_all((flat >= low) & (flat <= high)),
            f"{name} is ",
            tf.reduce_sum(flat[:1]),
            f"; expected {low} to {high}",
        ),
    )


def work(steps, images_per_step, limits: Limits) -> tf.Tensor:
    """Check steps, and steps times the images that each looks at."""
    most = tf.reduce_max(tf.reshape(steps, [-1]))
    product = tf.cast(most, tf.int64) * tf.cast(images_per_step, tf.int64)
    return first(
        between(steps, 0, limits.steps, "steps"),
        unless(
            product <= limits.step_images,
            "steps times the images of a step is ",
            product,
            f"; expected at most {limits.step_images}",
        ),
    )


def seed(value) -> tf.Tensor:
    """Check that a seed has two elements."""
    shape = _small_shape_text(value)
    return unless(
        tf.equal(shape, "2"),
        "seed has the shape [",
        shape,
        "]; expected [2]",
    )


def diverged(
    *tensors, advice: str = "give fewer steps or other images"
) -> tf.Tensor:
    """Check what adaptation led to."""
    finite = [tf.reduce_all(tf.math.is_finite(x)) for x in tensors]
    return unless(
        tf.reduce_all(finite),
        "the adaptation diverged: what it led to is not finite; " + advice,
    )


def _small_shape_text(value) -> tf.Tensor:
    """Return the true shape of an input whose shape the signature fixes.

    The graph optimiser replaces the shape of such an input by what the
    signature says; of what it must first parse it knows nothing.
    """
    serial = tf.io.serialize_tensor(value)
    return shape_text(tf.io.parse_tensor(serial, value.dtype))


def _text(value) -> tf.Tensor:
    if value.dtype == tf.string:
        return value
    if value.dtype.is_floating:
        return tf.strings.as_string(value, shortest=True)
    return tf.strings.as_string(value)
