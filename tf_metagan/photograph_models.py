"""The GAN of a photograph: one forward pass, then steps on it if wanted."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from tf_metagan import registry
from tf_metagan.core.inner import InnerRule
from tf_metagan.gan import finetuning, scale_sizes, single_image
from tf_metagan.trained_runs import Run


class Finetuning(NamedTuple):
    """Steps that the GAN of a photograph takes on it.

    Attributes:
      steps: of each scale; 0 for none.
      rate: step size of Adam (beta1 0.5, as SinGAN has it).
      seed: of the noise.
    """

    steps: int
    rate: float
    seed: int


NONE = Finetuning(steps=0, rate=0.0, seed=0)


def model_of(run: Run, image: np.ndarray) -> single_image.Model:
    """Embed a photograph [H, W, C] and return its GAN: one forward pass."""
    game = run.algorithm.game
    return game.model(game.remember(run.vars, image[tf.newaxis, tf.newaxis]))


def check_finetuning(
    run: Run, how: Finetuning, images: Sequence[np.ndarray]
) -> None:
    """Refuse steps that the GAN of a photograph cannot take.

    Args:
      run: that models photographs.
      how: steps asked for.
      images: photographs, each [H, W, C].

    Raises:
      ValueError: steps were asked for, and no hypernetwork makes the GAN, or
        a photograph is too flat for its discriminator.
    """
    if not how.steps:
        return
    game = run.algorithm.game
    if game.alone is None:
        raise ValueError(
            f"--finetune_steps={how.steps} goes on from what a hypernetwork "
            f"makes, and --algo={run.settings.config.algo} has none. Use a run "
            "of --algo=internal, or train this one for longer."
        )
    widths = [width for _, width in game.model(run.vars).sizes]
    for image in images:
        scale_sizes.check_patches(len(image), widths)


def finetuner(
    run: Run, how: Finetuning
) -> Callable[[np.ndarray], single_image.Model]:
    """Return what embeds a photograph and lets its GAN learn for a while.

    Args:
      run: that models photographs.
      how: steps on the photograph alone.

    Returns:
      (photograph [H, W, C]) -> its GAN. Photographs of one size share the
      graphs of their steps; a ValueError as of `check_finetuning`.
    """
    if not how.steps:
        return functools.partial(model_of, run)
    adam = registry.find(registry.INNER_OPTIMIZERS, "adam")(
        inner_beta1=0.5,
        inner_beta2=0.999,
        inner_epsilon=1e-8,
        epsilon_placement="outside",
        statistics_gradient="stop",
    )
    tune = finetuning.Finetuner(
        run.algorithm.game,
        run.vars,
        steps=how.steps,
        rule=InnerRule(adam, how.rate),
    )

    def report(scale: int, metrics: dict) -> None:
        logging.info(
            "scale %d: squared error of the reconstruction %.4f, then %.4f",
            scale,
            metrics["rec_loss"][0],
            metrics["rec_loss"][-1],
        )

    def learn(image: np.ndarray) -> single_image.Model:
        check_finetuning(run, how, [image])
        return tune(image, seed=how.seed, report=report)

    return learn
