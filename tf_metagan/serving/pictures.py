"""Folders of images, and pictures of many images."""

import os
from typing import Any

import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 2  # pixels between the samples of a picture
_LEAST_PIXELS = 64  # to which small samples are enlarged


def read_images(folder: str) -> list[bytes]:
    """Read the PNG and JPEG files directly in a folder, in order of names.

    Raises:
      FileNotFoundError: there are none.
    """
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
    files = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            files.append(file.read())
    return files


def grid(png_bytes: Any, *, columns: int = 8) -> bytes:
    """Set encoded images of one size beside and below each other.

    Args:
      png_bytes: PNG files, string [N].
      columns: images beside each other.

    Returns:
      A PNG file; small images are enlarged by a whole factor.
    """
    images = [tf.io.decode_png(png, channels=3) for png in png_bytes]
    zoom = max(1, round(_LEAST_PIXELS / max(images[0].shape[:2])))
    columns = min(columns, len(images))
    cells = [
        tf.pad(
            tf.repeat(tf.repeat(image, zoom, 0), zoom, 1),
            [[0, _GAP], [0, _GAP], [0, 0]],
            constant_values=255,
        )
        for image in images
    ]
    blank = tf.fill(cells[0].shape, tf.constant(255, tf.uint8))
    cells += [blank] * (-len(cells) % columns)
    lines = [
        tf.concat(cells[i : i + columns], 1)
        for i in range(0, len(cells), columns)
    ]
    picture = tf.concat(lines, 0)[:-_GAP, :-_GAP]
    encoded: bytes = tf.io.encode_png(picture).numpy()
    return encoded
