"""Whether a folder holds the run that is asked for, and where it stands."""

import os

from tf_metagan import assembly, checkpoints
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.data import base as data
from tf_metagan.settings import Settings

# Settings of the loop: they act on no part of the algorithm.
OWN = (
    "logdir",
    "resume",
    "log_every",
    "checkpoint_every",
    "image_every",
    "keep_checkpoints",
    "average_checkpoints",
    "max_seconds",
    "dry_run",
    "panel_tasks",
    "adapt_steps",
    "adapt_batch_size",
)

# What may change when a run goes on. Everything else makes it another run.
_FREE = (
    *OWN,
    "strategy",
    "inter_op_threads",
    "intra_op_threads",
    "data_dir",
    "image_folder",
    "image",
    "parallel_tasks",
    "task_mapping",
)


def find_checkpoint(
    settings: Settings[Config],
    split: data.Split,
    logdir: str,
    *,
    phased: bool = False,
) -> str | None:
    """Return the checkpoint to go on from, if the folder holds this run.

    Args:
      settings: of this start.
      split: of this start.
      logdir: folder of the run; one without a checkpoint is always right.
      phased: whether the length of training divides it into phases.

    Raises:
      ValueError: resuming is switched off, or a setting or the classes differ.
    """
    config = settings.config
    latest = checkpoints.latest(os.path.join(logdir, assembly.CHECKPOINTS))
    if not latest:
        return None
    if not config.resume:
        raise ValueError(
            f"--logdir={logdir} holds a run and --noresume was given. Choose "
            "another --logdir, or remove the folder."
        )
    stored = settings_lib.load(logdir, Config).config
    free = set(_FREE)
    if config.outer_schedule == "constant" and not phased:
        free.add("meta_steps")
    differing = [
        f"{settings.as_flag(name)} (was {value})"
        for name, value in vars(stored).items()
        if name not in free and value != getattr(config, name)
    ]
    if differing:
        raise ValueError(
            f"--logdir={logdir} holds a run with other settings: "
            f"{', '.join(differing)}. Repeat its settings "
            f"(--flagfile={logdir}/{settings_lib.FLAGS_FILE}) or choose "
            "another --logdir."
        )
    before = data.load_split(os.path.join(logdir, assembly.SPLIT_FILE))
    if before != split:
        raise ValueError(
            f"--logdir={logdir} holds a run on other classes: "
            f"{len(before.train)} for training and {len(before.test)} for the "
            f"test, or of other names, than the {len(split.train)} and "
            f"{len(split.test)} found now. Bring the data set back to what it "
            "was, or choose another --logdir."
        )
    return latest
