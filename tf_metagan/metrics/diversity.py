"""How different images of one set are from each other."""

from typing import Any

import numpy as np

from tf_metagan.metrics import base, distances


def diversity(features: Any) -> float:
    """Return the mean Euclidean distance over pairs of different rows.

    Args:
      features: [n, d], n >= 2; features of a network or flattened images.

    Returns:
      The mean over n (n - 1) / 2 pairs, in units of the features; 0 if all
      rows are equal. Unbiased for any n.

    Raises:
      ValueError: see `base.as_features`.

    Source: ours; the mean pairwise distance of LPIPS-based diversity scores
      (Zhu et al., 2017) with a distance between features.
    """
    x = base.as_features(features, "features", least=2)
    (x,) = distances.centred(x)
    total = 0.0
    for rows, apart in distances.squared(x, x):
        own = np.arange(rows.start, rows.stop)
        apart[own - rows.start, own] = 0.0
        total += float(np.sum(np.sqrt(apart)))
    return total / (len(x) * (len(x) - 1))


def relative_diversity(fake: Any, real: Any) -> float:
    """Return diversity(fake) / diversity(real).

    Args:
      fake: [n, d], n >= 2.
      real: [m, d], m >= 2; features of the same network.

    Returns:
      1 where fakes differ as much as real images do, 0 where all are the same.

    Raises:
      ValueError: see `base.as_pair`; all real rows are equal.
    """
    real, fake = base.as_pair(real, fake, least=2)
    of_real = diversity(real)
    if of_real == 0.0:
        raise ValueError(
            f"all {len(real)} rows of `real` are equal: expected different "
            "images to compare with. Pass more than one image of the class."
        )
    return diversity(fake) / of_real
