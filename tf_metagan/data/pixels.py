"""Bring pictures of any size and kind to the size and channels wanted."""

import numpy as np
from PIL import Image

ASPECTS = (1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2)
"""Heights of photographs of width 1; a batch is of one of them."""

_MODE = {1: "L", 3: "RGB"}


def fit(
    image: Image.Image, *, image_size: int, channels: int, strokes: bool
) -> np.ndarray:
    """Bring one picture to image_size x image_size pixels.

    Strokes are averaged over areas when they shrink, so that one-pixel lines
    do not vanish; when there is room they are enlarged by the largest whole
    factor and framed with the ground, the median of their border pixels.
    Photographs are cropped to the central square and resampled with Lanczos'
    filter.

    Args:
      image: mode "L" or "RGB".
      image_size: height and width wanted.
      channels: 1 (luminance of a colour picture) or 3 (grey one repeated).
      strokes: drawing rather than photograph.

    Returns:
      uint8 [image_size, image_size, channels].
    """
    image = image.convert(_MODE[channels])
    if strokes:
        longer = max(image.size)
        scale = image_size // longer or image_size / longer
        shape = (
            max(1, round(image.width * scale)),
            max(1, round(image.height * scale)),
        )
        method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
        if scale != 1:
            image = image.resize(shape, method)
        return _frame(np.atleast_3d(np.asarray(image)), image_size)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != image_size:
        image = image.resize((image_size, image_size), Image.Resampling.LANCZOS)
    return np.atleast_3d(np.asarray(image))


def fit_width(
    image: Image.Image,
    *,
    image_size: int,
    channels: int,
    aspects: tuple[float, ...] | None,
) -> np.ndarray:
    """Bring a photograph to a width and the nearest of some aspects.

    Args:
      image: mode "L" or "RGB".
      image_size: width wanted.
      channels: 1 or 3.
      aspects: height/width to choose from; None keeps the image's own.

    Returns:
      uint8 [height, image_size, channels].
    """
    aspect = image.height / image.width
    if aspects is not None:
        aspect = min(aspects, key=lambda a: abs(np.log(a / aspect)))
    size = (image_size, height_of(image_size, aspect))
    resized = image.convert(_MODE[channels]).resize(
        size, Image.Resampling.BICUBIC
    )
    return np.asarray(resized).reshape(size[1], size[0], channels)


def height_of(width: int, aspect: float) -> int:
    """Return floor(aspect * width), at least 1, whatever is rounded before.

    >>> height_of(250, 3 / 4), height_of(64, 2 / 3)
    (187, 42)
    """
    return max(1, int(aspect * width + 1e-9))


def _frame(image: np.ndarray, size: int) -> np.ndarray:
    """Centre [h, w, C] on a square of the given size and of its ground."""
    height, width, channels = image.shape
    if height == width == size:
        return image
    top, left = (size - height) // 2, (size - width) // 2
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    ground = np.sort(edges, axis=0)[len(edges) // 2]
    framed = np.full([size, size, channels], ground, np.uint8)
    framed[top : top + height, left : left + width] = image
    return framed
