"""Speed and memory of the library beside the best we can do elsewhere.

This file holds the workload, in NumPy, so that every contestant gets the same
weights, images and random draws whatever framework it is written in.

Generator: z 64 -> dense 7*7*2w -> leaky ReLU -> transposed convolution 4x4
stride 2, w -> leaky ReLU -> transposed convolution 4x4 stride 2, 1 -> tanh.
Critic: convolution 4x4 stride 2, w -> leaky ReLU -> convolution 4x4 stride 2,
2w -> leaky ReLU -> dense 1. Images are 28x28x1, the width w is 64. Losses:
Wasserstein with gradient penalty. Inner optimiser: RMSprop from zero; for
metasgd gradient descent with a learned step size for each weight.
"""

from typing import NamedTuple

import numpy as np

LATENT_SIZE = 64
IMAGE_SIZE = 28
SLOPE = float(np.float32(0.2))  # what a TensorFlow kernel makes of 0.2
PENALTY_WEIGHT = 10.0
INNER_RATE = 1e-4
LEARNED_RATE = 0.01
INNER_RHO = 0.9
INNER_EPSILON = 1e-7
NORM_EPSILON = 1e-12


class Workload(NamedTuple):
    """Sizes of one meta-step.

    Attributes:
      algo: "fomaml", "maml", "metasgd" or "reptile".
      steps: inner steps, k.
      tasks: tasks of a meta-batch, N.
      batch: images of a batch, B.
      width: w, channels of the narrower convolutions.
      dtype: "float32" or "float64".
    """

    algo: str
    steps: int = 10
    tasks: int = 2
    batch: int = 16
    width: int = 64
    dtype: str = "float32"


class Arrays(NamedTuple):
    """All that is random about one meta-step.

    Attributes:
      weights: {player: {leaf: array}}, in the layout of Keras.
      support: [tasks, steps, batch, 28, 28, 1] in [-1, 1].
      query: same, for the outer loss after each inner step.
      latent: [tasks, steps, 2, batch, 64]; index 0 of the third axis belongs
        to the inner step, index 1 to its outer loss.
      mix: [tasks, steps, 2, batch, 1, 1, 1] in [0, 1); weights of the real
        image in the interpolate of the penalty.
      rates: like `weights`, around LEARNED_RATE; metasgd's step sizes.
    """

    weights: dict[str, dict[str, np.ndarray]]
    support: np.ndarray
    query: np.ndarray
    latent: np.ndarray
    mix: np.ndarray
    rates: dict[str, dict[str, np.ndarray]]


def shapes(width: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return {player: {leaf: shape}} in the layout of Keras."""
    flat = 7 * 7 * 2 * width
    return {
        "d": {
            "down1/kernel": (4, 4, 1, width),
            "down1/bias": (width,),
            "down2/kernel": (4, 4, width, 2 * width),
            "down2/bias": (2 * width,),
            "head/kernel": (flat, 1),
            "head/bias": (1,),
        },
        "g": {
            "project/kernel": (LATENT_SIZE, flat),
            "project/bias": (flat,),
            "up1/kernel": (4, 4, width, 2 * width),
            "up1/bias": (width,),
            "up2/kernel": (4, 4, 1, width),
            "up2/bias": (1,),
        },
    }


def arrays(workload: Workload, *, seed: int) -> Arrays:
    """Draw weights, images and noise of one meta-step.

    Args:
      workload: sizes; `algo` plays no part.
      seed: any integer.

    Returns:
      Arrays of type `workload.dtype`. Kernels are uniform in
      +-sqrt(6 / (fan_in + fan_out)), biases uniform in +-0.01.
    """
    rng = np.random.default_rng(seed)

    def weight(shape: tuple[int, ...]) -> np.ndarray:
        receptive = int(np.prod(shape[:-2]))
        fans = receptive * sum(shape[-2:])
        limit = 0.01 if len(shape) == 1 else np.sqrt(6.0 / fans)
        return rng.uniform(-limit, limit, shape).astype(workload.dtype)

    weights = {
        player: {leaf: weight(shape) for leaf, shape in leaves.items()}
        for player, leaves in shapes(workload.width).items()
    }
    n, k, b = workload.tasks, workload.steps, workload.batch
    size = (n, k, b, IMAGE_SIZE, IMAGE_SIZE, 1)
    support, query = rng.uniform(-1.0, 1.0, (2, *size)).astype(workload.dtype)
    latent = rng.standard_normal((n, k, 2, b, LATENT_SIZE))
    mix = rng.uniform(size=(n, k, 2, b, 1, 1, 1))
    rates = {
        player: {
            leaf: LEARNED_RATE
            * rng.uniform(0.5, 1.5, x.shape).astype(workload.dtype)
            for leaf, x in leaves.items()
        }
        for player, leaves in weights.items()
    }
    return Arrays(
        weights,
        support,
        query,
        latent.astype(workload.dtype),
        mix.astype(workload.dtype),
        rates,
    )
