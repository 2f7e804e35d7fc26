"""How large a photograph is at every scale of a pyramid."""

import math
from collections.abc import Sequence

from tf_metagan.gan import pyramid


def widths(
    image_size: int,
    *,
    smallest_size: int,
    scale_factor: float,
    pyramid_sizes: str,
) -> tuple[int, ...]:
    """Return the width of every scale, coarse to fine.

    S = ceil(log(m/R) / log(f)) + 1, r = (m/R)^(1/S), width_i = ceil(r^(S-i) R)
    for i = 0..S.

    Args:
      image_size: R, width of the photograph.
      smallest_size: m, width of the coarsest scale.
      scale_factor: f, in (0, 1); the ratio of neighbours is near it.
      pyramid_sizes: "exact", or "as_published", where rounding turns a
        coarsest width of 25.000000000000014 into 26.

    Raises:
      ValueError: the coarsest scale is not smaller than the photograph.

    Source: the public program of Meta Internal Learning.

    >>> sizes = {"smallest_size": 28, "scale_factor": 0.6}
    >>> widths(250, **sizes, pyramid_sizes="exact")
    (28, 41, 59, 84, 121, 174, 250)
    """
    _check_smallest(image_size, smallest_size)
    steps = math.log(smallest_size / image_size) / math.log(scale_factor)
    last = math.ceil(steps) + 1
    ratio = math.pow(smallest_size / image_size, 1.0 / last)
    slack = 1e-9 if pyramid_sizes == "exact" else 0.0
    return tuple(
        math.ceil(math.pow(ratio, last - i) * image_size - slack)
        for i in range(last + 1)
    )


def dense_widths(
    image_size: int, *, smallest_size: int, stages: int
) -> tuple[int, ...]:
    """Return the width of every stage, nearer to each other where coarse.

    width_i = r^(((S - 1) / ln S) ln(S - i) + 1) R for i < S, R for i = S,
    rounded up, with r = (m/R)^(1/S) and S = stages - 1.

    Args:
      image_size: R, width of the photograph.
      smallest_size: m, width of the coarsest stage.
      stages: at least 3.

    Raises:
      ValueError: the coarsest stage is not smaller than the photograph.

    Source: ConSinGAN (Hinz et al., 2021) and its public program.

    >>> dense_widths(250, smallest_size=34, stages=6)
    (34, 43, 57, 85, 168, 250)
    """
    _check_smallest(image_size, smallest_size)
    last = stages - 1
    ratio = math.pow(smallest_size / image_size, 1.0 / last)
    steepness = (last - 1) / math.log(last)
    powers = (steepness * math.log(last - i) + 1 for i in range(last))
    found = (math.ceil(ratio**x * image_size - 1e-9) for x in powers)
    return *found, image_size


def _check_smallest(image_size: int, smallest_size: int) -> None:
    if smallest_size >= image_size:
        raise ValueError(
            f"--smallest_size={smallest_size} leaves no pyramid below "
            f"--image_size={image_size}; expected less. Use "
            f"--smallest_size={max(1, image_size // 4)}, say."
        )


def sizes(height, widths: Sequence[int]) -> list[tuple]:
    """Return (height, width) of every scale.

    height_i = floor(a width_i), a = (height + 1/2) / width: the middle of the
    aspects that give this height at full width, so that 187 x 250 is 3 : 4.

    Args:
      height: of the photograph; integer or int32 scalar.
      widths: of `widths`; the last is that of the photograph.
    """
    full = 2 * widths[-1]
    return [((2 * height + 1) * width // full, width) for width in widths]


def check_patches(height: int, widths: Sequence[int]) -> None:
    """Refuse a photograph that is lower than D's patch at the coarsest scale.

    Args:
      height: of the photograph.
      widths: see `sizes`.

    Raises:
      ValueError: it is.
    """
    lowest, width = sizes(height, widths)[0]
    least = 2 * pyramid.BORDER + 1
    if min(lowest, width) < least:
        raise ValueError(
            f"a photograph of {height} x {widths[-1]} pixels is {lowest} x "
            f"{width} at the coarsest scale; the discriminator looks at "
            f"patches of {least} x {least}. Use a greater --smallest_size, or "
            "crop photographs that are wide."
        )
