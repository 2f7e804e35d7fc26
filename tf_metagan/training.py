"""Meta-training from settings to pictures, told in one function.

`train` reads from top to bottom: data, algorithm, learner, run folder, loop.
"""

import contextlib
import os
import sys
import time

import numpy as np
import tensorflow as tf
from absl import logging

from tf_metagan import (
    assembly,
    checkpoints,
    cli,
    panel,
    replay,
    report,
    resuming,
    trained_runs,
    workers,
)
from tf_metagan.config import Config, new_logdir
from tf_metagan.data import base as data
from tf_metagan.learner import Learner
from tf_metagan.settings import Settings
from tf_metagan.stop_signals import StopSignals

TRAIN_STREAM, PANEL_STREAM, _, STOCK_STREAM = range(4)  # 2: evaluation

_SAMPLES = 8  # images per task and column of a picture

# What may differ between the workers of one job.
_LOCAL = (
    "logdir",
    "data_dir",
    "image_folder",
    "inter_op_threads",
    "intra_op_threads",
)


def train(settings: Settings[Config]) -> int:
    """Train as the settings say.

    Args:
      settings: from the command line.

    Returns:
      The exit code of the command: 0, 42 or 130.

    Raises:
      cli.LostWorkerError: another worker of the job died.
      ValueError, OSError: settings or files are not usable.
      FloatingPointError: training diverged; the state is kept for replay.
    """
    settings = assembly.with_algorithm_defaults(settings)
    assembly.configure_runtime(settings)
    several = settings.config.strategy == "multiworker"
    with workers.noticing_losses() if several else contextlib.nullcontext():
        strategy = assembly.make_strategy(settings)
        return _train(settings, strategy, workers.Team(strategy))


def _train(
    settings: Settings[Config],
    strategy: tf.distribute.Strategy,
    team: workers.Team,
) -> int:
    """Train on these devices, as one of these workers."""
    if team.addresses and not settings.config.logdir:
        raise ValueError(
            "--strategy=multiworker came without --logdir; expected a folder "
            "that all workers see, for checkpoints to go on from. Name one."
        )

    # Data: classes, their division; the rule; the streams of episodes.
    images = assembly.load_images(settings)
    settings = assembly.with_channels(settings, images)
    config = settings.config
    split = assembly.make_split(settings, images)
    algorithm = assembly.make_algorithm(settings)
    check_tasks(config, algorithm, split)
    sampler = assembly.make_sampler(
        settings,
        images,
        classes=split.train,
        stream=TRAIN_STREAM,
        others=algorithm.game.wants_others,
    )
    shown = assembly.make_sampler(
        settings,
        images,
        classes=_shown(algorithm, split),
        stream=PANEL_STREAM,
        meta_batch=config.panel_tasks,
        rotate_classes=False,
        mirror_classes=False,
        elastic=0.0,
        elastic_classes=0.0,
    )

    # The variables that the meta-learning rule learns.
    team.require_same(_shared(config, split))
    begun = settings.take("init_from")
    learner = assembly.make_learner(
        settings,
        algorithm,
        strategy,
        split=split,
        start=trained_runs.load_run(begun).vars if begun else None,
        embedding_weights=settings.take("embedding_weights"),
        stock=draw_stock(settings, images, split, algorithm.game.stocks),
    )
    for name in (*resuming.OWN, "meta_steps"):
        settings.take(name)
    latest = None
    if config.logdir and not config.dry_run:
        latest = resuming.find_checkpoint(
            settings,
            split,
            config.logdir,
            phased=len(algorithm.phases()) > 1,
        )
    if latest:
        checkpoints.restore(learner, latest)
        logging.info("going on from %s", latest)
    team.require_same(
        {"checkpoint in --logdir": str(latest and learner.meta_step.numpy())}
    )
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
    if team.is_chief:
        os.makedirs(logdir, exist_ok=True)
        settings.save(
            logdir,
            command="tf_metagan.train",
            devices=team.addresses or _devices(strategy),
        )
        data.save_split(split, os.path.join(logdir, assembly.SPLIT_FILE))

    # The loop.
    view = make_panel(config, algorithm, shown) if team.is_chief else None
    start = int(learner.meta_step.numpy())
    end = config.meta_steps if algorithm.learns else start
    with (
        report.Report(logdir, start_step=start, meta_steps=end)
        if team.is_chief
        else report.Silence()
    ) as log:
        log.describe(vars(config))
        with StopSignals(team) as signals:
            _loop(config, learner, sampler, logdir, log, view, signals, end)
        step = int(learner.meta_step.numpy())
        if not latest or step > start:
            _save(config, learner, logdir)
        if not signals.received:
            path = _show(log, view, step, learner)
            log.say(f"{step} meta-steps done, picture: {path}")
    return signals.exit_code


def _shared(config: Config, split: data.Split) -> dict[str, str]:
    """Return what all workers of a job must agree on."""
    settings = {k: v for k, v in vars(config).items() if k not in _LOCAL}
    return {"settings": repr(settings), "classes": repr(split)}


def _save(config: Config, learner: Learner, logdir: str) -> None:
    folder = os.path.join(logdir, assembly.CHECKPOINTS)
    checkpoints.save(learner, folder, keep=config.keep_checkpoints)


def _show(log, view, step: int, learner: Learner) -> str | None:
    """Draw a picture and return its path, where this worker draws."""
    weights = learner.averaged()  # may make variables: work of all workers
    return log.image(step, view.picture(weights)) if view else None


def _loop(
    config, learner: Learner, sampler, logdir, log, view, signals, end: int
) -> None:
    """Train up to meta-step `end`, a signal, or the end of the time.

    Nothing is saved or shown of a state that was not seen to be sound.
    """
    step = int(learner.meta_step.numpy())
    starts = learner.algorithm.phases()
    tasks = iter(sampler.dataset(step))
    good = replay.Known(step, learner.snapshot())
    began = time.monotonic()
    logged = step, began
    stop, late = step >= end, False
    while not stop:
        metrics = learner.step(next(tasks))
        step += 1
        seconds = time.monotonic() - began
        late = bool(config.max_seconds and seconds > config.max_seconds)
        late = signals.agree(late)
        stop = step == end or signals.received or late
        to_log = step % config.log_every == 0 or step == end
        to_save = step % config.checkpoint_every == 0
        to_show = step % config.image_every == 0 and step < end
        if not (to_log or to_save or to_show or stop or step in starts):
            continue
        flat = flatten(metrics)
        try:
            report.check_finite(flat, (good.step + 1, step))
        except FloatingPointError as error:
            raise replay.explain(
                error, learner, sampler, good, step, logdir
            ) from error
        good = replay.Known(step, learner.snapshot())
        if to_log:
            done = (step - logged[0]) * config.meta_batch
            now = time.monotonic()
            flat["tasks_per_second"] = done / (now - logged[1])
            log.train(step, flat)
            logged = step, now
        if to_save:
            _save(config, learner, logdir)
        if to_show:
            _show(log, view, step, learner)
        if late:
            log.say(f"--max_seconds is over at meta-step {step}")


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


def draw_stock(
    settings: Settings[Config],
    images: data.ClassImages,
    split: data.Split,
    number: int,
) -> np.ndarray | None:
    """Return images of meta-train classes for a game to keep.

    Args:
      settings: of the run.
      images: the data set.
      split: its classes.
      number: of images; each is of a class drawn uniformly.

    Returns:
      uint8 [number, H, W, C]; None for no images.
    """
    if not number:
        return None
    sampler = assembly.make_sampler(
        settings,
        images,
        classes=split.train,
        stream=STOCK_STREAM,
        meta_batch=number,
        inner_batch_size=1,
        inner_steps=1,
        shots=0,
        rotate_classes=False,
        mirror_classes=False,
        elastic=0.0,
        elastic_classes=0.0,
    )
    return data.to_bytes(sampler.batch(0).support[:, 0, 0].numpy())


def check_tasks(config: Config, algorithm, split: data.Split) -> None:
    """Refuse several tasks where one is modelled.

    Raises:
      ValueError: the rule models one class and gets others, or several at a
        time.
    """
    if not algorithm.one_task:
        return
    if len(split.train) > 1:
        raise ValueError(
            f"--algo={config.algo} models one photograph, got "
            f"{len(split.train)} to train on. Use --image=FILE, or "
            "--train_classes=NUMBER for one of a data set."
        )
    for name in ("rotate_classes", "mirror_classes"):
        if getattr(config, name):
            raise ValueError(
                f"--{name} makes several photographs of one, but "
                f"--algo={config.algo} models one. Leave it out."
            )
    if config.meta_batch > 1:
        raise ValueError(
            f"--meta_batch={config.meta_batch} asks for several photographs in "
            f"a meta-step, but --algo={config.algo} models one. Leave it out."
        )


def _shown(algorithm, split: data.Split) -> tuple[int, ...]:
    """Return the classes of the pictures: unseen ones, if there are any."""
    if algorithm.one_task or not split.test:
        return split.train
    return split.test


def make_panel(config: Config, algorithm, sampler) -> panel.Panel:
    """Return the picture of a run: the first tasks of a sampler's classes."""
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
