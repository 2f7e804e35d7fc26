"""Kernel distance between patches in a random network that is always there."""

from typing import Any

import numpy as np

from tf_metagan.metrics import base, kid, single_image

NAME = "kid_random_features"
SIDE = 8
_WIDTHS = (64, 64)
_SEED = 20211  # of the network: the same for everybody


def patch_kid(
    real: Any,
    fakes: Any,
    *,
    patches: int = 4096,
    subset_size: int = 500,
    subsets: int = 50,
    seed: int = 0,
) -> base.Estimate:
    """Return the KID of patches of 8 x 8 pixels in random features.

    A network of two layers, relu(relu(x W1) W2), whose weights are drawn once
    from N(0, 2 / fan-in), is no judge of content; it compares colours, edges
    and textures, and needs no weights from elsewhere.

    Args:
      real: [H, W, C] in [-1, 1], the photograph.
      fakes: [n, H', W', C], samples of any size.
      patches: drawn from each side.
      subset_size: see `kid.kid`.
      subsets: see `kid.kid`.
      seed: of patches and subsets.

    Returns:
      See `kid.kid`; not comparable with distances in other features.

    Raises:
      ValueError: an image is smaller than a patch.

    Source: ours; random features as in Rahimi and Recht (2007).
    """
    real, fakes = (np.asarray(x, np.float64) for x in (real, fakes))
    smallest = min(*real.shape[:2], *fakes.shape[1:3])
    if smallest < SIDE:
        raise ValueError(
            f"images of {real.shape[:2]} and {fakes.shape[1:3]} pixels hold no "
            f"patch of {SIDE} x {SIDE}. Compare larger images."
        )
    generator = np.random.default_rng(seed)
    a, b = (
        features(single_image.patches_of(x, SIDE, patches, generator))
        for x in (real[np.newaxis], fakes)
    )
    return kid.kid(a, b, subset_size=subset_size, subsets=subsets, seed=seed)


def features(rows: np.ndarray) -> np.ndarray:
    """Return what the random network makes of patches [n, d]: [n, 64]."""
    generator = np.random.default_rng(_SEED)
    for width in _WIDTHS:
        fan_in = rows.shape[1]
        weights = generator.normal(size=[fan_in, width]) * np.sqrt(2 / fan_in)
        rows = np.maximum(rows @ weights, 0.0)
    return rows
