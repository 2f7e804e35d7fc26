"""Folders of images, and pictures of many images."""

import os
from typing import Any

import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 2  # pixels between the samples of a picture
_LEAST_PIXELS = 64  # to which small samples are enlarged


def read_images(folder: str) -> list[bytes]:
    """Read the PNG and JPEG files directly in a folder, in order of names.

    Args:
      folder: or a single file.

    Raises:
      FileNotFoundError: there are none.
    """
    if os.path.isfile(folder):
        return [read(folder)]
    names = sorted(
        name
        for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        if name.lower().endswith(SUFFIXES)
    )
    if not names:
        raise FileNotFoundError(
            f"{folder} holds no images; expected a folder with files that end "
            f"in {', '.join(SUFFIXES)}."
        )
    return [read(os.path.join(folder, name)) for name in names]


def read(path: str) -> bytes:
    """Read a file."""
    with open(path, "rb") as file:
        return file.read()


def grid(png_bytes: Any, *, columns: int = 8, zoom: int | None = None) -> bytes:
    """Set encoded images beside and below each other.

    Args:
      png_bytes: PNG files, string [N]; smaller ones stand at the top left of
        their place.
      columns: images beside each other.
      zoom: factor by which they are enlarged. None: the whole number that
        makes small ones visible.

    Returns:
      A PNG file.
    """
    images = [tf.io.decode_png(png, channels=3) for png in png_bytes]
    height, width = (max(x.shape[axis] for x in images) for axis in (0, 1))
    if zoom is None:
        zoom = max(1, round(_LEAST_PIXELS / max(height, width)))
    columns = min(columns, len(images))
    height, width = height * zoom + _GAP, width * zoom + _GAP

    def cell(image: tf.Tensor) -> tf.Tensor:
        large = tf.repeat(tf.repeat(image, zoom, 0), zoom, 1)
        room = [height - large.shape[0], width - large.shape[1]]
        margins = [*([0, side] for side in room), [0, 0]]
        return tf.pad(large, margins, constant_values=255)

    cells = [cell(image) for image in images]
    blank = tf.fill(cells[0].shape, tf.constant(255, tf.uint8))
    cells += [blank] * (-len(cells) % columns)
    lines = [
        tf.concat(cells[i : i + columns], 1)
        for i in range(0, len(cells), columns)
    ]
    picture = tf.concat(lines, 0)[:-_GAP, :-_GAP]
    encoded: bytes = tf.io.encode_png(picture).numpy()
    return encoded
