"""Landscapes drawn by formula: photographs that need no file and no licence.

Sky, sun, ranges of hills one behind the other, and meadows or water in front;
every class is one picture.
"""

import numpy as np

from tf_metagan.data import base, pixels

_OCTAVES = 5
_SKIES = ((70, 130, 210), (230, 150, 90), (150, 170, 190), (40, 50, 110))
_HAZES = ((200, 220, 240), (250, 210, 150), (210, 215, 220), (150, 110, 150))
_HILLS = ((60, 90, 60), (90, 70, 80), (80, 95, 115), (45, 60, 50))
_GROUNDS = ((90, 140, 50), (190, 160, 80), (60, 110, 150), (130, 90, 60))


def load(
    *, image_size: int, channels: int | None, num_classes: int, seed: int
) -> base.ClassImages:
    """Draw landscapes.

    Args:
      image_size: width; the height is three quarters of it.
      channels: 1 for grey, 3 for colour; None for colour.
      num_classes: how many.
      seed: of all that is random; a landscape depends on its number and seed.

    Returns:
      ClassImages, one image in each class.
    """
    images = [
        draw(np.random.default_rng([seed, number]), image_size)
        for number in range(num_classes)
    ]
    if channels == 1:
        grey = [x @ np.array([0.299, 0.587, 0.114]) for x in images]
        images = [np.rint(x[..., None]).astype(np.uint8) for x in grey]
    names = {i: f"landscape {i}" for i in range(num_classes)}
    return base.group(np.stack(images), np.arange(num_classes), name=names)


def draw(generator: np.random.Generator, width: int) -> np.ndarray:
    """Draw one landscape: uint8 [height, width, 3]."""
    height = pixels.height_of(width, 3 / 4)
    y = (np.arange(height) / height)[:, np.newaxis]
    x = (np.arange(width) / width)[np.newaxis]
    kind = generator.integers(len(_SKIES), size=3)
    sky, haze = (np.array(c[kind[0]], float) for c in (_SKIES, _HAZES))
    horizon = generator.uniform(0.45, 0.7)
    share = np.clip(y / horizon, 0, 1)[..., np.newaxis]
    cloud = _texture(generator, height, width, 3, stretch=3.0)
    image = sky + (haze - sky) * share + 45 * np.maximum(cloud, 0)[..., None]
    sun = generator.uniform([0.1, 0.05], [0.9, horizon - 0.1])
    apart = np.hypot(x - sun[0], 0.75 * (y - sun[1]))
    image += 90 * np.exp(-((apart / 0.06) ** 2))[..., np.newaxis]
    hill = np.array(_HILLS[kind[1]], float)
    ranges = int(generator.integers(1, 4))
    for number in range(ranges):
        near = (number + 1) / ranges
        line = horizon - 0.22 * (1 - near) - 0.05
        line = line + 0.16 * _texture(generator, 1, width, 2)[0]
        rough = 22 * _texture(generator, height, width, 8)
        colour = haze + (hill - haze) * (0.4 + 0.6 * near)
        image = np.where(
            (y > line)[..., None], colour + rough[..., None], image
        )
    ground = np.array(_GROUNDS[kind[2]], float)
    rough = _texture(generator, height, width, 6, stretch=4.0)
    rough += _texture(generator, height, width, 16)
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)[..., np.newaxis]
    floor = ground * (0.75 + 0.35 * depth) + 30 * rough[..., np.newaxis]
    edge = horizon + 0.02 * _texture(generator, 1, width, 4)[0]
    image = np.where((y > edge)[..., np.newaxis], floor, image)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _texture(
    generator: np.random.Generator,
    height: int,
    width: int,
    cells: int,
    *,
    stretch: float = 1.0,
) -> np.ndarray:
    """Draw smooth noise [height, width], sums of finer and weaker grids.

    Args:
      generator: of the grids.
      height: in pixels.
      width: in pixels.
      cells: of the coarsest grid across the width.
      stretch: width of a cell by its height.
    """
    total = np.zeros([height, width])
    for octave in range(_OCTAVES):
        across = cells * 2**octave
        down = max(1, round(across * stretch * height / width))
        if across > width:
            break
        grid = generator.normal(size=[down + 2, across + 2])
        rows, columns = (
            (np.arange(n) + 0.5) / n * count
            for n, count in ((height, down), (width, across))
        )
        total += _between(grid, rows, columns) / 2**octave
    return total / 1.5


def _between(grid: np.ndarray, rows, columns) -> np.ndarray:
    """Interpolate a grid at rows and columns, smoothly."""
    i, j = rows.astype(int), columns.astype(int)
    s, t = rows - i, columns - j
    s, t = ((3 - 2 * w) * w * w for w in (s[:, np.newaxis], t[np.newaxis]))
    top = (1 - t) * grid[i][:, j] + t * grid[i][:, j + 1]
    low = (1 - t) * grid[i + 1][:, j] + t * grid[i + 1][:, j + 1]
    mixed: np.ndarray = (1 - s) * top + s * low
    return mixed
