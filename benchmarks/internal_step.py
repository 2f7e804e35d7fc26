"""Time internal learning's meta-step beside the same step in eager PyTorch.

    python -m benchmarks.internal_step --rounds=10

One meta-step of --algo=internal at its finest scale: embeddings of a batch of
photographs, heads of low rank, a pyramid of generators and a patch critic with
weights of their own for every photograph, WGAN-GP and reconstruction, one step
of Adam for D and one for G. PyTorch takes photographs one by one, and all
together by grouped convolutions.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import one_thread

FACTOR = 0.75  # between the widths of neighbouring scales
CHANNELS, DEPTH, BORDER = 3, 5, 5
SLOPE, PENALTY, REBUILD = 0.02, 0.1, 50.0
RATE, CLIP = 5e-5, 1.0


class Sizes(NamedTuple):
    """Of one meta-step; photographs are `image` wide and three quarters high.

    Those of flags/internal/places50_small.flags.
    """

    batch: int = 8
    image: int = 64
    smallest: int = 18
    width: int = 32
    features: int = 128
    rank: int = 32
    embedded: int = 64


def scales(sizes: Sizes) -> list[tuple[int, int]]:
    """Return (height, width) of every scale, coarse to fine."""
    count = math.ceil(math.log(sizes.smallest / sizes.image, FACTOR)) + 1
    ratio = (sizes.smallest / sizes.image) ** (1 / count)
    widths = [
        math.ceil(ratio ** (count - i) * sizes.image - 1e-9)
        for i in range(count + 1)
    ]
    height = 3 * sizes.image // 4
    return [((2 * height + 1) * w // (2 * sizes.image), w) for w in widths]


def photographs(sizes: Sizes) -> np.ndarray:
    """Return float32 [batch, height, width, 3] in [-1, 1]."""
    shape = (sizes.batch, *scales(sizes)[-1], CHANNELS)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def settings_of(sizes: Sizes) -> dict[str, object]:
    """Return the settings of the library's side."""
    return {
        "algo": "internal",
        "dataset": "landscapes",
        "channels": CHANNELS,
        "embedding": "small",
        "image_size": sizes.image,
        "smallest_size": sizes.smallest,
        "scale_factor": FACTOR,
        "embedding_size": sizes.embedded,
        "features": sizes.features,
        "head_rank": sizes.rank,
        "width": sizes.width,
        "meta_batch": sizes.batch,
        "meta_steps": len(scales(sizes)),
    }


def tensorflow_step(sizes: Sizes) -> Callable[[], None]:
    """Return a meta-step as users run it, what is logged included."""
    import tensorflow as tf

    from tf_metagan import assembly, settings
    from tf_metagan.config import Config
    from tf_metagan.types import TaskBatch

    chosen = settings.Settings(Config, [(settings_of(sizes), True)])
    rule = assembly.make_algorithm(assembly.with_algorithm_defaults(chosen))
    learner = assembly.make_learner(chosen, rule, tf.distribute.get_strategy())
    images = tf.constant(photographs(sizes)[:, np.newaxis, np.newaxis])
    numbers = np.arange(2 * sizes.batch).reshape(sizes.batch, 2)
    tasks = TaskBatch(
        images,
        None,
        None,
        tf.zeros([sizes.batch], tf.int64),
        tf.constant(numbers, tf.int64),
    )

    def step() -> None:
        metrics = learner.step(tasks)
        tf.nest.map_structure(lambda x: x.numpy(), metrics)

    for _ in scales(sizes)[1:]:  # the last begins after a step of each other
        step()
    return step


def torch_step(sizes: Sizes, *, grouped: bool) -> Callable[[], None]:
    """Return the same meta-step as it is written in PyTorch.

    Args:
      sizes: of the step.
      grouped: convolve all photographs at once, in groups; or one by one.
    """
    import torch

    from benchmarks import torch_internal

    torch.set_flush_denormal(True)  # TensorFlow always does
    images = torch.from_numpy(photographs(sizes)).permute(0, 3, 1, 2)
    return torch_internal.make_step(
        images.contiguous(), sizes, scales(sizes), grouped=grouped
    )


SIDES = {
    "library": tensorflow_step,
    "torch_loop": lambda sizes: torch_step(sizes, grouped=False),
    "torch_grouped": lambda sizes: torch_step(sizes, grouped=True),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    one_thread.command(__spec__.name, Sizes(), SIDES, argv)


if __name__ == "__main__":
    main()
