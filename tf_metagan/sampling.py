"""Adapt a trained run to a handful of images and draw more of them."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
import PIL.Image
import tensorflow as tf

from tf_metagan import pictures
from tf_metagan.core import rng
from tf_metagan.data import base as data
from tf_metagan.data import picture_files
from tf_metagan.trained_runs import Run
from tf_metagan.types import Vars

_ADAPT, _SAMPLE, _BATCHES = range(3)
_CHUNK = 256  # images drawn at a time


def load_support(
    run: Run, images: Sequence[str], *, invert: bool
) -> np.ndarray:
    """Load images in the size and channels that a run was trained with.

    Args:
      run: the trained run.
      images: files, or one folder.
      invert: exchange bright and dark.

    Returns:
      [n, H, W, C] float32 in [-1, 1].
    """
    config = run.settings.config
    loaded = picture_files.load_support(
        images, image_size=config.image_size, channels=config.channels
    )
    support = data.to_range(loaded)
    return -support if invert else support


def draw(
    run: Run,
    support: np.ndarray,
    *,
    num_samples: int,
    steps: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Adapt to `support` and draw.

    Args:
      run: the trained run; it does not change.
      support: [n, H, W, C] in [-1, 1], n >= 1. More images than the run's
        inner batch are divided over the steps.
      steps: steps of adaptation; the run's own number if None.
      seed: equal seeds give equal images.

    Returns:
      [num_samples, H, W, C] float32 in [-1, 1].

    Raises:
      FloatingPointError: adaptation diverged.
    """
    config = run.settings.config
    if steps is None:
        steps = config.adapt_steps
    if steps is None:
        steps = config.inner_steps
    batches = step_batches(
        support,
        batch_size=config.adaptation_batch,
        steps=steps,
        seed=seed,
    )
    adapt = tf.function(run.algorithm.adapt, autograph=False)
    adapted, _ = adapt(
        run.vars, tf.constant(batches), None, adaptation_seed(seed), steps
    )
    sample = tf.function(run.algorithm.game.sample, autograph=False)
    drawn = draw_images(sample, adapted, num_samples=num_samples, seed=seed)
    if not np.isfinite(drawn).all():
        raise FloatingPointError(
            f"adaptation diverged: after {steps} steps the images drawn are "
            f"not finite; training took {config.inner_steps}. Give fewer "
            "--steps."
        )
    return drawn


def adaptation_seed(seed: int) -> tf.Tensor:
    """Return the root of the latents that adaptation draws: int64 [2]."""
    return rng.fold(rng.make_seed(seed), _ADAPT)


def sample_seed(seed: int, first: int = 0) -> tf.Tensor:
    """Return the root of the latents of images from `first` on: int64 [2]."""
    return rng.fold(rng.make_seed(seed), _SAMPLE, first)


def draw_images(sample, vars: Vars, *, num_samples: int, seed: int):
    """Draw from weights, a bounded number of images at a time.

    Args:
      sample: `gan.game.Game.sample`, or a tf.function of it.
      vars: weights.
      num_samples: images to draw, >= 1.
      seed: equal seeds give equal images, and fewer are the first of more.

    Returns:
      [num_samples, H, W, C] in [-1, 1].
    """
    chunks = [
        sample(vars, sample_seed(seed, first), _CHUNK).numpy()
        for first in range(0, num_samples, _CHUNK)
    ]
    return np.concatenate(chunks)[:num_samples]


def step_batches(
    support: np.ndarray, *, batch_size: int, steps: int, seed: int
) -> np.ndarray:
    """Divide support images into the batches of the inner steps.

    Args:
      support: [n, H, W, C].
      batch_size: images of an inner step in training.
      steps: number of inner steps.
      seed: of the order in which images come.

    Returns:
      [1, n, H, W, C] where n <= batch_size, else [steps, batch_size, H, W, C]:
      rounds through all images, each in another order.
    """
    n = len(support)
    if n <= batch_size:
        return support[np.newaxis]
    order = np.random.default_rng([seed, _BATCHES])
    needed = max(1, steps) * batch_size
    rounds = [order.permutation(n) for _ in range(-(-needed // n))]
    index = np.concatenate(rounds)[:needed]
    return support[index.reshape(-1, batch_size)]


def write_picture(path: str, support: np.ndarray, drawn: np.ndarray) -> None:
    """Write given and drawn images beside each other as a PNG file.

    Args:
      path: the file; its folder is made if it is absent.
      support: [n, H, W, C] in [-1, 1].
      drawn: [m, H, W, C] in [-1, 1].

    Raises:
      OSError: the file cannot be written.
    """
    shown = support[:16]
    blocks = {
        f"given ({len(support)})": shown[np.newaxis],
        f"drawn ({len(drawn)})": drawn[np.newaxis],
    }
    save_picture(path, pictures.grid(blocks, [""], per_line=8))


def save_animation(path: str, frames: Iterable[np.ndarray]) -> None:
    """Write images [H, W, C] in [-1, 1] as a GIF of ten a second.

    Raises:
      OSError: the file cannot be written.
    """
    levels = [data.to_bytes(frame) for frame in frames]
    pages = [
        PIL.Image.fromarray(x if x.shape[-1] == 3 else x[..., 0])
        for x in levels
    ]
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        pages[0].save(
            path, save_all=True, append_images=pages[1:], duration=100, loop=0
        )
    except (OSError, ValueError) as error:
        raise OSError(
            f"--output={path} cannot be written: {error}. Name a .gif file in "
            "a folder you may write to."
        ) from error


def save_picture(path: str, picture: np.ndarray) -> None:
    """Write uint8 [height, width, 3] as a PNG file.

    Raises:
      OSError: the file cannot be written.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        PIL.Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise OSError(
            f"--output={path} cannot be written: {error}. Name a .png file in "
            "a folder you may write to."
        ) from error
