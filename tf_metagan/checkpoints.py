"""Checkpoints: the whole state of a learner, written, found and read again."""

import contextlib
import os

import tensorflow as tf
from absl import logging

from tf_metagan.learner import Learner

_STEP_NAME = "meta_step/.ATTRIBUTES/VARIABLE_VALUE"


def save(learner: Learner, folder: str, *, keep: int) -> str:
    """Write a checkpoint and return its path, where this process saves.

    Args:
      learner: whose state it is.
      folder: of checkpoints of this run alone.
      keep: how many there may be; older ones are deleted.

    Raises:
      OSError: it cannot be written; earlier checkpoints are untouched.
    """
    step = int(learner.meta_step.numpy())
    if not learner.saves:
        return f"{folder}/ckpt-{step}"
    try:
        with _quiet():
            # Made anew, since a phase may have changed what there is to save.
            manager = tf.train.CheckpointManager(
                tf.train.Checkpoint(**learner.items()),
                folder,
                max_to_keep=keep,
            )
            return manager.save(checkpoint_number=step)
    except (tf.errors.OpError, OSError) as error:
        raise OSError(
            f"cannot write a checkpoint to {folder}: {_first_line(error)}. "
            "Free some space or check the rights, then start again: training "
            "goes on from the checkpoint before."
        ) from error


def restore(learner: Learner, path: str) -> None:
    """Load a checkpoint completely, or change nothing.

    Args:
      learner: of the same settings as the one that was saved.
      path: as `save` returned it.

    Raises:
      OSError: it is damaged.
      ValueError: it is of another run: other weights, seed or split.
    """
    before = learner.snapshot()
    try:
        _load(learner, path)
        _check_same_run(learner, before, path)
    except (OSError, ValueError):
        learner.put_back(before)
        raise


def _load(learner: Learner, path: str) -> None:
    status = None
    try:
        step = tf.train.load_checkpoint(path).get_tensor(_STEP_NAME)
        learner.enter_phase(int(step))
        status = tf.train.Checkpoint(**learner.items()).restore(path)
        status.assert_consumed()
    except (AssertionError, ValueError) as error:  # names, shapes
        if status is not None:
            status.expect_partial()  # else TensorFlow warns when it goes
        raise ValueError(
            f"checkpoint {path} holds other weights than these settings "
            f"make: {_first_line(error)}. Use the settings it was written "
            "with (config.json beside it) or another --logdir."
        ) from error
    except (tf.errors.OpError, IndexError) as error:  # IndexError: cut off
        raise OSError(
            f"checkpoint {path} cannot be read: {_first_line(error)}. It "
            "is damaged or incomplete; delete its files, and training "
            "goes on from the checkpoint before."
        ) from error


def _check_same_run(learner: Learner, before: dict, path: str) -> None:
    items = learner.items()
    for name in ("seed", "split"):
        found = items[name].numpy()
        if found != before[name]:
            raise ValueError(
                f"checkpoint {path} was trained with another {name} "
                f"({found!r}) than asked for ({before[name]!r}). Use the same "
                "settings or another --logdir."
            )


def find(folder: str) -> list[str]:
    """Return the paths of the checkpoints still there, oldest first."""
    state = tf.train.get_checkpoint_state(folder)
    paths = state.all_model_checkpoint_paths if state else ()
    return [path for path in paths if os.path.exists(f"{path}.index")]


def latest(folder: str) -> str | None:
    """Return the path of the newest checkpoint that is still there, if any."""
    return next(reversed(find(folder)), None)


@contextlib.contextmanager
def _quiet():
    """Hold back what TensorFlow logs about the time a checkpoint took."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
