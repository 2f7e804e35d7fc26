"""Trained runs: loaded from what training left, and packed."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tf_metagan import assembly, checkpoints, packed
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.core import tree
from tf_metagan.data import base as data
from tf_metagan.settings import Settings
from tf_metagan.types import Vars


class Run(NamedTuple):
    """A trained run, ready to adapt and sample.

    Attributes:
      settings: it was trained with.
      algorithm: what adapts.
      vars: meta-weights, averaged as the run says.
      meta_step: meta-steps done.
      split: which classes were for training and which for test.
    """

    settings: Settings
    algorithm: Any
    vars: Vars
    meta_step: int
    split: data.Split


def load_run(logdir: str) -> Run:
    """Load what training left in a folder.

    The weights are those of the last checkpoint, each its moving average where
    there is one, or with --average_checkpoints=n the mean of the last n.

    Args:
      logdir: the run folder, a packed one, or `pretrained:NAME`.

    Raises:
      FileNotFoundError: it holds no run, or no checkpoint yet.
      ValueError: the package ships no model of that name.
      OSError: a file is damaged.
    """
    logdir = packed.resolve(logdir)
    settings = assembly.with_algorithm_defaults(
        settings_lib.load(logdir, Config)
    )
    split = data.load_split(os.path.join(logdir, assembly.SPLIT_FILE))
    if packed.is_packed(logdir):
        algorithm = assembly.make_algorithm(settings)
        vars, step = packed.read(logdir, lambda n: _drawn(algorithm, n))
        return Run(settings, algorithm, vars, step, split)
    folder = os.path.join(logdir, assembly.CHECKPOINTS)
    last = settings.config.average_checkpoints
    paths = checkpoints.find(folder)[-last:]
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no checkpoint: expected at least one, written "
            "every --checkpoint_every meta-steps and at the end. Train longer "
            f"(python -m tf_metagan.train --flagfile={logdir}/run.flags)."
        )
    algorithm = assembly.make_algorithm(settings)
    learner = assembly.make_learner(
        settings, algorithm, tf.distribute.get_strategy(), split=split
    )
    found = []
    for path in paths:
        checkpoints.restore(learner, path)
        found.append(learner.averaged())
    _check_alike(found, paths)
    vars = tf.nest.map_structure(lambda *w: _mean(w), *found)
    step = int(learner.meta_step.numpy())
    return Run(settings, algorithm, vars, step, split)


def _mean(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the mean; of what is no floating number, such as seeds, the last.

    >>> _mean([tf.constant([5]), tf.constant([7])]).numpy().tolist()
    [7]
    """
    if not values[-1].dtype.is_floating:
        return values[-1]
    return tf.add_n(values) / len(values)


def _drawn(algorithm, meta_step: int) -> Vars:
    """Return weights, freshly drawn, of the phase of a meta-step."""
    vars = algorithm.init(0)
    for start in algorithm.phases()[1:]:
        if start <= meta_step:
            vars = algorithm.next_phase(vars)
    return vars


def _check_alike(found: list[Vars], paths: list[str]) -> None:
    """Refuse to average checkpoints of different phases."""
    kinds = [set(tree.names(vars.params)) for vars in found]
    alike = [kind == kinds[-1] for kind in kinds]
    if not all(alike):
        usable = alike[::-1].index(False)
        names = ", ".join(os.path.basename(path) for path in paths)
        raise ValueError(
            f"--average_checkpoints={len(paths)} takes the mean of {names}, "
            "which hold the weights of different scales; expected those of "
            f"one scale. Use --average_checkpoints={usable}, or train on."
        )


def require_steps(run: Run, command: str) -> None:
    """Refuse runs that model photographs where images of a class are needed.

    Args:
      run: of any rule.
      command: that cannot use it.

    Raises:
      ValueError: the run models photographs.
    """
    if run.algorithm.game.model is not None:
        raise ValueError(
            f"{command} takes runs that adapt to images of a class, got one of "
            f"--algo={run.settings.config.algo}, which models photographs. Use "
            "python -m tf_metagan.sample, tf_metagan.apply or "
            "tf_metagan.evaluate_photographs."
        )


def require_photographs(run: Run, command: str) -> None:
    """Refuse runs that do not model photographs.

    Raises:
      ValueError: the run is of another kind.
    """
    if run.algorithm.game.model is None:
        raise ValueError(
            f"{command} needs a run that models photographs, got one of "
            f"--algo={run.settings.config.algo}. Train with --algo=internal "
            "or singan, or use python -m tf_metagan.sample."
        )


def require_any_photograph(run: Run, command: str) -> None:
    """Refuse runs that model the one photograph that they were trained on.

    Raises:
      ValueError: the run is of that kind.
    """
    if run.algorithm.one_task:
        raise ValueError(
            f"{command} takes runs that model any photograph, got one of "
            f"--algo={run.settings.config.algo}, which knows that of its "
            "training only. Use python -m tf_metagan.apply, or train with "
            "--algo=internal."
        )


def load_pretrained(name: str) -> Run:
    """Load a model that comes with the package.

    Args:
      name: "omniglot" or "mnist".

    Raises:
      ValueError: there is no such model.

    >>> run = load_pretrained("omniglot")
    >>> run.settings.config.dataset
    'omniglot'
    """
    return load_run(packed.PREFIX + name)


def pack(logdir: str, folder: str) -> None:
    """Write a trained run to one small folder that can be used in its place.

    Args:
      logdir: see `load_run`.
      folder: to write to.

    Raises:
      FileNotFoundError: it holds no run, or no checkpoint yet.
      OSError: a file is damaged or cannot be written.
    """
    logdir = packed.resolve(logdir)
    run = load_run(logdir)
    packed.write(
        folder,
        config=os.path.join(logdir, settings_lib.CONFIG_FILE),
        split=os.path.join(logdir, assembly.SPLIT_FILE),
        vars=run.vars,
        meta_step=run.meta_step,
    )
