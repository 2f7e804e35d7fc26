"""Meta-training from settings to pictures, told in one function.

`train` reads from top to bottom: data, algorithm, learner, run folder, loop.
"""

import os
import signal
import sys
import time
import types

import tensorflow as tf
from absl import logging

from tf_metagan import assembly, cli, panel, replay, report
from tf_metagan import learner as learners
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config, new_logdir
from tf_metagan.data import base as data
from tf_metagan.learner import Learner
from tf_metagan.settings import Settings

TRAIN_STREAM, PANEL_STREAM = range(2)
CHECKPOINTS = "ckpt"
SPLIT_FILE = "split.json"

_SAMPLES = 8  # images per task and column of a picture

# What may change when a run goes on. Everything else makes it another run.
_FREE = (
    "logdir",
    "resume",
    "log_every",
    "checkpoint_every",
    "image_every",
    "keep_checkpoints",
    "max_seconds",
    "strategy",
    "inter_op_threads",
    "intra_op_threads",
    "dry_run",
    "data_dir",
    "image_folder",
    "parallel_tasks",
    "panel_tasks",
    "adapt_steps",
)

_EXIT_CODES = types.MappingProxyType(
    {
        signal.SIGTERM: cli.EXIT_PREEMPTED,
        signal.SIGINT: cli.EXIT_INTERRUPTED,
    }
)


def train(settings: Settings[Config]) -> int:
    """Train as the settings say.

    Args:
      settings: from the command line.

    Returns:
      The exit code of the command: 0, 42 or 130.

    Raises:
      ValueError, OSError: settings or files are not usable.
      FloatingPointError: training diverged; the state is kept for replay.
    """
    settings = assembly.with_algorithm_defaults(settings)
    assembly.configure_runtime(settings)

    # Data: classes, their division, the stream of episodes.
    images = assembly.load_images(settings)
    split = assembly.make_split(settings, images)
    sampler = assembly.make_sampler(
        settings, images, classes=split.train, stream=TRAIN_STREAM
    )

    # The meta-learning rule, and the variables it learns.
    algorithm = assembly.make_algorithm(settings)
    strategy = assembly.make_strategy(settings)
    learner = assembly.make_learner(settings, algorithm, strategy, split=split)
    for name in (*_FREE, "meta_steps"):
        settings.take(name)
    config = settings.config
    if config.logdir and not config.dry_run:
        check_resumable(settings, config.logdir)
    settings.check_all_used()
    logging.info("%s", _summary(learner, split, sampler.num_kinds))
    if config.dry_run:
        lines = [settings.as_flag(name) for name in vars(config)]
        sys.stdout.write("\n".join(lines) + "\n")
        return cli.EXIT_OK

    # The run folder: a new one, or the one that is gone on with.
    logdir = config.logdir or new_logdir(
        dataset=config.dataset, algo=config.algo
    )
    os.makedirs(logdir, exist_ok=True)
    manager = learner.manager(
        os.path.join(logdir, CHECKPOINTS), keep=config.keep_checkpoints
    )
    latest = learners.latest_checkpoint(manager.directory)
    if latest:
        learner.restore(latest)
        logging.info("going on from %s", latest)
    settings.save(
        logdir, command="tf_metagan.train", devices=_devices(strategy)
    )
    data.save_split(split, os.path.join(logdir, SPLIT_FILE))

    # The loop.
    view = make_panel(settings, algorithm, images, split)
    start = int(learner.meta_step.numpy())
    end = config.meta_steps if algorithm.learns else start
    with report.Report(logdir, start_step=start, meta_steps=end) as log:
        log.describe(vars(config))
        with _Signals() as signals:
            _loop(config, learner, sampler, manager, log, view, signals, end)
        step = int(learner.meta_step.numpy())
        if not signals.received:
            path = log.image(step, view.picture(learner.averaged()))
            log.say(f"{step} meta-steps done, picture: {path}")
        if not latest or step > start:
            learner.save(manager)
    return signals.exit_code


def _loop(
    config, learner: Learner, sampler, manager, log, view, signals, end: int
) -> None:
    """Train up to meta-step `end`, a signal, or the end of the time."""
    step = int(learner.meta_step.numpy())
    tasks = iter(sampler.dataset(step))
    good = replay.Known(step, learner.snapshot())
    began = logged = time.monotonic()
    while step < end and not signals.received:
        metrics = learner.step(next(tasks))
        step += 1
        if step % config.log_every == 0 or step == end:
            flat = flatten(metrics)
            now = time.monotonic()
            done = (step - good.step) * config.meta_batch
            flat["tasks_per_second"] = done / (now - logged)
            try:
                log.train(step, flat)
            except FloatingPointError as error:
                folder = os.path.join(os.path.dirname(manager.directory))
                raise replay.explain(
                    error, learner, sampler, good, step, folder
                ) from error
            good = replay.Known(step, learner.snapshot())
            logged = time.monotonic()
        if step % config.checkpoint_every == 0:
            learner.save(manager)
        if step % config.image_every == 0 and step < end:
            log.image(step, view.picture(learner.averaged()))
        if config.max_seconds and time.monotonic() - began > config.max_seconds:
            log.say(f"--max_seconds is over at meta-step {step}")
            return


def flatten(metrics: dict) -> dict[str, float]:
    """Turn metrics into plain numbers.

    Args:
      metrics: {name: scalar or [steps]} of tensors.

    Returns:
      {name: mean}, and {name_step_NN: value} for each inner step.
    """
    flat = {}
    for name, value in metrics.items():
        value = value.numpy()
        flat[name] = float(value.mean())
        if value.ndim and len(value) > 1:
            for step, x in enumerate(value):
                flat[f"{name}_step_{step + 1:02d}"] = float(x)
    return flat


def make_panel(settings, algorithm, images, split) -> panel.Panel:
    """Return the picture of a run: fixed tasks of its meta-test classes."""
    config = settings.config
    sampler = assembly.make_sampler(
        settings,
        images,
        classes=split.test,
        stream=PANEL_STREAM,
        meta_batch=config.panel_tasks,
    )
    tasks = sampler.batch(0)
    steps = config.adapt_steps
    return panel.Panel(
        algorithm,
        tasks,
        [sampler.class_name(label) for label in tasks.label.numpy()],
        steps=config.inner_steps if steps is None else steps,
        samples=_SAMPLES,
        seed=config.seed + 1,
    )


def check_resumable(settings: Settings[Config], logdir: str) -> None:
    """Refuse to go on with a run under settings that make it another one.

    Args:
      settings: of this start.
      logdir: folder of the run; one without a checkpoint is always right.

    Raises:
      ValueError: resuming is switched off, or a setting differs.
    """
    config = settings.config
    if not learners.latest_checkpoint(os.path.join(logdir, CHECKPOINTS)):
        return
    if not config.resume:
        raise ValueError(
            f"--logdir={logdir} holds a run and --noresume was given. Choose "
            "another --logdir, or remove the folder."
        )
    stored = settings_lib.load(logdir, Config).config
    free = set(_FREE)
    if config.outer_schedule == "constant":
        free.add("meta_steps")
    differing = [
        f"--{name}={getattr(config, name)} (was {value})"
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


def _summary(learner: Learner, split: data.Split, tasks: int) -> str:
    counts = {
        player: sum(int(v.value.shape.num_elements()) for v in leaves.values())
        for player, leaves in learner.variables.params.items()
    }
    parts = ", ".join(f"{p.upper()} {n:,}" for p, n in sorted(counts.items()))
    return (
        f"parameters: {parts}; {tasks:,} meta-train tasks of "
        f"{len(split.train):,} classes; {len(split.test):,} meta-test classes"
    )


def _devices(strategy) -> list[str]:
    if strategy.num_replicas_in_sync == 1:
        return [d.name for d in tf.config.list_logical_devices()]
    return [str(device) for device in strategy.extended.worker_devices]


class _Signals:
    """Turns SIGTERM and SIGINT into a flag while training runs."""

    def __init__(self):
        self.received = None
        self._before = {}

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES.get(self.received, cli.EXIT_OK)

    def __enter__(self) -> "_Signals":
        for number in _EXIT_CODES:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, frame) -> None:
        del frame
        self.received = signal.Signals(number)
