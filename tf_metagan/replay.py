"""What went wrong when a metric is not finite: which step, which weights."""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan import checkpoints
from tf_metagan.core import tree
from tf_metagan.learner import Learner

FOLDER = "nonfinite"


class Known(NamedTuple):
    """The last state that was seen to be sound.

    Attributes:
      step: meta-steps done.
      snapshot: of the learner, as `Learner.snapshot` returns it.
    """

    step: int
    snapshot: dict[str, np.ndarray]


def explain(
    error: FloatingPointError,
    learner: Learner,
    sampler,
    good: Known,
    last: int,
    logdir: str,
) -> FloatingPointError:
    """Repeat the steps since the last sound state and find the bad one.

    Saves the state before it under `logdir`/nonfinite: restoring that and
    doing one meta-step shows the failure again, since episodes are a function
    of the meta-step.

    Args:
      error: what was noticed.
      learner: is left in the state before the bad step.
      sampler: the training episodes.
      good: a sound state.
      last: meta-steps done when the failure was noticed.
      logdir: the run folder.

    Returns:
      The error to raise, naming meta-step, metrics and weights.

    Raises:
      OSError: the state cannot be written.
    """
    learner.put_back(good.snapshot)
    for step in range(good.step, last):
        before = learner.snapshot()
        tasks = sampler.batch(step)
        metrics = learner.step(tasks)
        wrong = sorted(
            name
            for name, value in metrics.items()
            if not np.isfinite(value.numpy()).all()
        )
        if wrong:
            learner.put_back(before)
            break
    else:
        return FloatingPointError(
            f"{error} Repeating meta-steps {good.step + 1} to {last} gave "
            "finite numbers: the failure does not repeat, look for a fault of "
            "the machine."
        )
    folder = os.path.join(logdir, FOLDER)
    path = checkpoints.save(learner, folder, keep=1)
    grads = learner.algorithm.meta_gradients(
        learner.values(), tasks, tf.constant(step, tf.int64)
    ).grads
    leaves = [
        name
        for part in (grads.params, grads.inner)
        for name, gradient in zip(
            tree.names(part), tf.nest.flatten(part), strict=True
        )
        if not np.isfinite(gradient.numpy()).all()
    ]
    return FloatingPointError(
        f"training diverged at meta-step {step + 1}: {', '.join(wrong)} not "
        f"finite; weights whose outer gradient is not finite: "
        f"{', '.join(leaves) or 'none'}. The state before that step is "
        f"{path}. Lower --inner_rate or --outer_rate, set --outer_clip_norm, "
        "or use another --seed."
    )
