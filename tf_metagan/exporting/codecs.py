"""PNG and JPEG bytes to images and back, inside the graph.

The same treatment as `data.picture_files`, within one level of 255 per pixel
and step. What differs: the orientation that a camera notes in a JPEG file is
not looked at, and only PNG and JPEG are known. Of an animated PNG the first
picture counts.
"""

import tensorflow as tf

from tf_metagan.exporting import fitting, sentences

_PNG = (137, 80, 78, 71, 13, 10, 26, 10)
_IHDR = (73, 72, 68, 82)
_JPEG = (255, 216, 255)
_HEADER = 24  # bytes of a PNG file up to and including its size
_DEPTH = 24  # where a PNG file says how many bits a value has
_LUMINANCE = (0.299, 0.587, 0.114)


def inspect(files, *, pixels: int, name: str = "image_bytes") -> tf.Tensor:
    """Check encoded images by what stands in their headers.

    Args:
      files: string [K], K >= 1.
      pixels: the most that one may have; it is not decoded before.
      name: of the input.

    Returns:
      A sentence as in `sentences`, about the first bad file.
    """

    def one(item):
        number, file = item
        return sentences.first(*_header_sentences(name, number, file, pixels))

    found = tf.map_fn(
        one,
        (tf.range(tf.shape(files)[0]), files),
        fn_output_signature=tf.TensorSpec([], tf.string),
        parallel_iterations=1,
    )
    bad = tf.boolean_mask(found, tf.not_equal(found, ""))
    return tf.strings.reduce_join(bad[:1])


def _header_sentences(name: str, number, file, pixels: int):
    # Padded: the error of a short substring would carry the bytes themselves.
    start = tf.strings.substr(
        tf.strings.join([file, "\0" * _HEADER]), 0, _HEADER
    )
    head = tf.ensure_shape(tf.io.decode_raw(start, tf.uint8), [_HEADER])
    is_png = _begins(head, _PNG) & _begins(head[12:], _IHDR)
    is_jpeg = _begins(head, _JPEG)
    size = tf.cast(head[16:24], tf.int64)
    place = tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64)
    width = tf.reduce_sum(size[:4] * place)
    height = tf.reduce_sum(size[4:] * place)
    none = tf.zeros([3], tf.int64)
    of_jpeg = tf.cond(
        is_jpeg,
        lambda: tf.image.extract_jpeg_shape(file, output_type=tf.int32),
        lambda: tf.cast(none, tf.int32),
    )
    of_jpeg = tf.cast(of_jpeg, tf.int64)
    height = tf.where(is_jpeg, of_jpeg[0], height)
    width = tf.where(is_jpeg, of_jpeg[1], width)
    # Divided, since the product of two such numbers may not fit.
    fits = height <= pixels // tf.maximum(width, 1)
    return (
        sentences.unless(
            is_png | is_jpeg,
            f"{name}[",
            number,
            "] is neither a PNG nor a JPEG file; expected one of these",
        ),
        sentences.unless(
            fits,
            f"{name}[",
            number,
            "] has ",
            width,
            " x ",
            height,
            f" pixels; expected at most {pixels}",
        ),
        sentences.unless(
            tf.not_equal(of_jpeg[2], 4),
            f"{name}[",
            number,
            "] is a JPEG file of four inks; expected grey or RGB",
        ),
    )


def _begins(head, wanted: tuple[int, ...]):
    expected = tf.constant(wanted, tf.uint8)
    return tf.reduce_all(tf.equal(head[: len(wanted)], expected))


def decode(files, image_shape) -> tf.Tensor:
    """Decode files that `inspect` let pass and bring them to one size.

    Args:
      files: string [K].
      image_shape: (H, W, C), H = W, C 1 or 3.

    Returns:
      float32 [K, H, W, C] in [-1, 1].
    """
    size, _, channels = image_shape
    fit = fitting.strokes if channels == 1 else fitting.photograph

    def one(file):
        return _to_range(fit(_levels(file, channels), size))

    return tf.map_fn(
        one,
        files,
        fn_output_signature=tf.TensorSpec(image_shape),
        parallel_iterations=1,
    )


def decode_photograph(file, channels: int) -> tf.Tensor:
    """Decode a file that `inspect` let pass and leave it as large as it is.

    Args:
      file: string scalar.
      channels: 1 or 3.

    Returns:
      float32 [h, w, channels] in [-1, 1].
    """
    return _to_range(_levels(file, channels))


def _to_range(levels) -> tf.Tensor:
    return (levels - 127.5) * (1 / 127.5)


def _levels(file, channels: int) -> tf.Tensor:
    """Decode to [h, w, channels] whole levels 0 .. 255, opaque on white."""
    picture = _opaque(file)
    if channels == 1:
        grey = tf.tensordot(picture, tf.constant(_LUMINANCE), 1)
        picture = tf.round(grey)[..., tf.newaxis]
    return picture


def _opaque(file) -> tf.Tensor:
    """Decode to [h, w, 3] whole levels 0 .. 255, opaque on white."""

    def png():
        # 16 bits, to which fewer are extended exactly.
        deep = tf.io.decode_png(file, channels=4, dtype=tf.uint16)
        deep = tf.cast(deep, tf.float32) / 257.0
        alpha = _true_alpha(file, deep[..., 3:]) / 255.0
        levels = tf.round(deep[..., :3])
        return tf.round(levels * alpha + 255.0 * (1.0 - alpha))

    def jpeg():
        levels = tf.io.decode_jpeg(
            file, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return tf.cast(levels, tf.float32)

    is_png = tf.equal(tf.strings.substr(file, 0, 1), bytes(_PNG[:1]))
    return tf.cond(is_png, png, jpeg)


def _true_alpha(file, alpha) -> tf.Tensor:
    """Return the opacity, 0 .. 255, of a PNG file.

    To pictures of fewer than 8 bits that have no opacity of their own the
    decoder gives that of the largest value of so many bits, 1 for one bit.
    """
    head = tf.strings.join([file, "\0" * (_DEPTH + 1)])
    depth = tf.io.decode_raw(tf.strings.substr(head, _DEPTH, 1), tf.uint8)[0]
    filler = tf.cast(2 ** tf.cast(depth, tf.int32) - 1, tf.float32)
    none = (depth < 8) & (tf.reduce_max(alpha) <= filler)
    return tf.where(none, 255.0, alpha)


def encode(images) -> tf.Tensor:
    """Encode images as PNG files.

    Args:
      images: float32 [N, H, W, C] in [-1, 1]; values outside are clipped.

    Returns:
      string [N].
    """
    levels = tf.clip_by_value(images * 127.5 + 127.5, 0.0, 255.0)
    return tf.map_fn(
        tf.io.encode_png,
        tf.cast(tf.round(levels), tf.uint8),
        fn_output_signature=tf.TensorSpec([], tf.string),
        parallel_iterations=1,
    )
