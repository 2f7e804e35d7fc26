"""`data.pixels` as a graph: pictures of any size to the size wanted."""

import tensorflow as tf

_SHIFT = 1e-3  # of a pixel


def strokes(picture, size: int) -> tf.Tensor:
    """Bring a drawing to a square: shrink by areas, or enlarge and frame.

    Args:
      picture: float32 [h, w, c] in 0 .. 255.
      size: s, height and width wanted.

    Returns:
      float32 [s, s, c], whole levels 0 .. 255.
    """
    sides = tf.cast(tf.shape(picture)[:2], tf.float64)
    longer = tf.reduce_max(sides)
    whole = size // longer
    scale = tf.where(whole > 0, whole, size / longer)
    # Both round halves to the even number.
    shape = tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), 1)
    fitted = tf.cond(
        scale < 1.0,
        lambda: _resize(picture, shape, "box"),
        lambda: _resize(picture, shape, "keyscubic"),
    )
    return _frame(fitted, shape, size)


def photograph(picture, size: int) -> tf.Tensor:
    """Crop a photograph to its central square and resample it.

    Args:
      picture: float32 [h, w, c] in 0 .. 255.
      size: s, height and width wanted.

    Returns:
      float32 [s, s, c], whole levels 0 .. 255.
    """
    shape = tf.shape(picture)
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = picture[top : top + side, left : left + side]
    fitted = _resize(square, tf.constant([size, size]), "lanczos3")
    return tf.ensure_shape(fitted, [size, size, picture.shape[-1]])


def to_width(picture, width: int) -> tf.Tensor:
    """Bring a photograph to a width and keep its aspect.

    Args:
      picture: float32 [h, w, c] in 0 .. 255.
      width: wanted.

    Returns:
      float32 [height, width, c], whole levels 0 .. 255.
    """
    shape = tf.shape(picture)
    height = height_at(width, shape[0], shape[1])
    return _resize(picture, [height, width], "keyscubic")


def height_at(width: int, height, full_width) -> tf.Tensor:
    """Return `data.pixels.height_of` of a photograph's size, int32."""
    aspect = tf.cast(height, tf.float64) / tf.cast(full_width, tf.float64)
    return tf.maximum(1, tf.cast(aspect * width + 1e-9, tf.int32))


def _resize(picture, shape, kernel: str) -> tf.Tensor:
    """Resample [h, w, c] as Pillow does: lines, then columns, in whole levels.

    The filter widens when it shrinks. With "box" a pixel on the border of two
    windows belongs to the left one; the operation would give a half to each,
    hence the small shift.
    """
    height, width = tf.unstack(tf.shape(picture)[:2])
    shift = _SHIFT if kernel == "box" else 0.0

    def along(picture, size, axis: int):
        before = (height, width)[axis]
        scale = tf.cast(size[axis], tf.float32) / tf.cast(before, tf.float32)
        factors = [1.0, 1.0]
        moves = [0.0, 0.0]
        factors[axis], moves[axis] = scale, -shift * scale
        resized = tf.raw_ops.ScaleAndTranslate(
            images=picture[tf.newaxis],
            size=tf.stack(size),
            scale=tf.stack(factors),
            translation=tf.stack(moves),
            kernel_type=kernel,
            antialias=True,
        )
        return tf.clip_by_value(tf.floor(resized[0] + 0.5), 0.0, 255.0)

    lines = along(picture, [height, shape[1]], 1)
    return along(lines, [shape[0], shape[1]], 0)


def _frame(picture, shape, size: int) -> tf.Tensor:
    """Centre [h, w, c] on a square of the median of its border pixels."""
    edges = tf.concat(
        [picture[0], picture[-1], picture[:, 0], picture[:, -1]], 0
    )
    ground = tf.sort(edges, axis=0)[tf.shape(edges)[0] // 2]
    room = size - shape
    before = room // 2
    margins = tf.stack(
        [
            [before[0], room[0] - before[0]],
            [before[1], room[1] - before[1]],
            [0, 0],
        ]
    )
    framed = tf.pad(picture - ground, margins) + ground
    return tf.ensure_shape(framed, [size, size, picture.shape[-1]])
