"""What a run tells: metrics for machines, progress and pictures for people.

Everything arrives here as plain numbers and arrays. A run folder gets

  metrics.jsonl        one JSON object a line: step, run, seconds, metrics
  train/, eval/        the same for TensorBoard, with settings and pictures
  samples/step_N.png   pictures
"""

import glob
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, TextIO

import numpy as np
import PIL.Image
import tensorflow as tf
import tqdm
from absl import logging
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams_api

from tf_metagan import board, stopwatch

METRICS_FILE = "metrics.jsonl"
PANEL_TAG = "adapt/support_prior_adapted_scratch"
RUNS = ("train", "eval")

_PLAYERS = {"D": "discriminator", "G": "generator"}


def check_finite(
    metrics: Mapping[str, float], step_window: tuple[int, int]
) -> None:
    """Stop when a metric is not finite.

    Args:
      metrics: {name: value}; "D" and "G" between underscores or slashes in a
        name are the players.
      step_window: first and last meta-step that the metrics come from.

    Raises:
      FloatingPointError: names every such metric, its player and the window.
    """
    wrong = [
        f"{name}{_player(name)} is {value}"
        for name, value in metrics.items()
        if not math.isfinite(value)
    ]
    if wrong:
        first, last = step_window
        raise FloatingPointError(
            f"training diverged between meta-steps {first} and {last}: "
            f"{', '.join(wrong)}; expected finite numbers. Lower --inner_rate "
            "or --outer_rate, set --outer_clip_norm, or use another --seed."
        )


def _player(name: str) -> str:
    letters = set(re.split(r"[_/]", name)) & set(_PLAYERS)
    return f" ({_PLAYERS[letters.pop()]})" if len(letters) == 1 else ""


class Report:
    """Writes the metrics and pictures of one run, and shows its progress.

    Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        logdir: str,
        *,
        start_step: int = 0,
        meta_steps: int,
        headline: tuple[str, ...] = ("D_loss", "G_loss"),
        stream: TextIO | None = None,
    ):
        """Open the files of a run; the folder is made when it is absent.

        Args:
          logdir: the run folder.
          start_step: meta-steps that were done before; what an interrupted
            run recorded of later ones is dropped, since they come again.
          meta_steps: meta-step at which training ends.
          headline: names of the metrics that are shown with the progress.
          stream: where the progress goes when it is a terminal; by default
            stderr. Otherwise progress is lines of absl logging.

        Raises:
          OSError: a file cannot be written.
        """
        self._logdir = logdir
        self._step = start_step
        self._meta_steps = meta_steps
        self._headline = headline
        self._start = (time.monotonic(), start_step)
        self._spent = stopwatch.Stopwatch()
        self._path = os.path.join(logdir, METRICS_FILE)
        os.makedirs(logdir, exist_ok=True)
        _drop_after(self._path, start_step)
        self._file = open(self._path, "a", encoding="utf-8")
        self._writers = {run: self._open_writer(run) for run in RUNS}
        stream = sys.stderr if stream is None else stream
        self._bar = _bar(stream, start_step, meta_steps)

    def _open_writer(self, run: str) -> Any:
        folder = os.path.join(self._logdir, run)
        _mark_start(folder, self._step)
        return tf.summary.create_file_writer(folder)

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def describe(self, values: Mapping[str, Any]) -> None:
        """Record the settings of the run for TensorBoard.

        Args:
          values: {name: value}; they become a table of text and, so that runs
            can be compared, hyper-parameters.
        """
        plain = {
            name: value if isinstance(value, int | float) else _text(value)
            for name, value in values.items()
        }
        rows = [
            f"| {name} | {_text(value)} |" for name, value in values.items()
        ]
        table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
        with self._writers["train"].as_default(step=self._step):
            tf.summary.text("settings", table)
            hparams_api.hparams(plain)
            board.write()

    def train(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record what was measured since the last call and show progress.

        Args:
          step: meta-steps done.
          metrics: {name: value}.

        Raises:
          FloatingPointError: a value is not finite; nothing is recorded.
          OSError: a file cannot be written.
        """
        check_finite(metrics, (self._step + 1, step))
        self._record("train", step, metrics)
        self._step = step
        self._show(metrics)

    def evaluate(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record what was measured on test tasks.

        Args:
          step: meta-steps done.
          metrics: {name: value}.

        Raises:
          FloatingPointError: a value is not finite; nothing is recorded.
          OSError: a file cannot be written.
        """
        check_finite(metrics, (step, step))
        self._record("eval", step, metrics)

    def image(self, step: int, picture: np.ndarray) -> str:
        """Write a picture as PNG and for TensorBoard.

        Args:
          step: meta-steps done.
          picture: uint8 [height, width, 3], such as `pictures.grid` returns.

        Returns:
          Path of the PNG file.

        Raises:
          OSError: a file cannot be written.
        """
        folder = os.path.join(self._logdir, "samples")
        path = os.path.join(folder, f"step_{step:06d}.png")
        os.makedirs(folder, exist_ok=True)
        try:
            PIL.Image.fromarray(picture).save(path)
        except OSError as error:
            raise _lost(error, path) from error
        with self._writers["eval"].as_default(step=step):
            tf.summary.image(PANEL_TAG, picture[np.newaxis])
        self._flush("eval")
        return path

    def say(self, text: str) -> None:
        """Log a line for people without spoiling the progress bar.

        Args:
          text: one line.
        """
        if self._bar is not None:
            self._bar.clear()
        logging.info("%s", text)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Write what is buffered and close every file; may be called twice.

        Raises:
          OSError: a file cannot be written.
        """
        if self._bar is not None:
            self._bar.close()
        try:
            self._file.close()
        except OSError as error:
            raise _lost(error, self._path) from error
        finally:
            for run in self._writers:
                self._flush(run)
                self._writers[run].close()
            self._writers = {}

    def _record(
        self, run: str, step: int, metrics: Mapping[str, float]
    ) -> None:
        line = {"step": step, "run": run, **self._spent.so_far()}
        values = {name: float(value) for name, value in metrics.items()}
        try:
            self._file.write(json.dumps({**line, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise _lost(error, self._path) from error
        with self._writers[run].as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._flush(run)

    def _flush(self, run: str) -> None:
        try:
            self._writers[run].flush()
        except tf.errors.OpError as error:
            path = os.path.join(self._logdir, run)
            raise _lost(OSError(None, error.message), path) from error

    def _show(self, metrics: Mapping[str, float]) -> None:
        shown = {
            name: metrics[name] for name in self._headline if name in metrics
        }
        speed = metrics.get("tasks_per_second")
        facts = [f"{name} {value:.4g}" for name, value in shown.items()]
        if speed is not None:
            facts.append(f"{speed:.3g} tasks/s")
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(facts), refresh=False)
            self._bar.update(self._step - self._bar.n)
            self._bar.refresh()
            return
        left = self._seconds_left()
        facts.append(f"{tqdm.tqdm.format_interval(left)} left")
        text = ", ".join(facts)
        logging.info("meta-step %d/%d: %s", self._step, self._meta_steps, text)

    def _seconds_left(self) -> float:
        begun, first = self._start
        done = max(self._step - first, 1)
        left = max(self._meta_steps - self._step, 0)
        return (time.monotonic() - begun) / done * left


class Silence:
    """Takes what a `Report` takes and records nothing: of further workers."""

    def __enter__(self) -> "Silence":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def describe(self, values: Mapping[str, Any]) -> None:
        """Take the settings of the run."""

    def train(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take what was measured in training."""

    def say(self, text: str) -> None:
        """Take a line for people."""


def _bar(stream: TextIO, start: int, end: int) -> Any:
    """Return a progress bar, or None where nobody would see it move."""
    if not stream.isatty() or logging.get_verbosity() < logging.INFO:
        return None
    return tqdm.tqdm(
        total=end,
        initial=start,
        unit="step",
        dynamic_ncols=True,
        file=stream,
    )


def _drop_after(path: str, step: int) -> None:
    """Remove lines of later steps, and a last line that was cut off."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(kept)
        os.replace(temporary, path)
    except OSError as error:
        raise _lost(error, path) from error


def _mark_start(folder: str, step: int) -> None:
    """Make TensorBoard forget what earlier starts wrote about later steps."""
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    event = event_pb2.Event(
        wall_time=time.time(), step=step + 1, session_log=start
    )
    os.makedirs(folder, exist_ok=True)
    # TensorBoard reads files in the order of their names, which begin with the
    # second in which they were made: no two starts may share one.
    names = glob.glob("events.out.tfevents.*", root_dir=folder)
    seconds = [int(name.split(".")[3]) for name in names]
    while int(time.time()) <= max(seconds, default=0):
        time.sleep(0.05)
    name = f"events.out.tfevents.{int(time.time()):010d}.!start.v2"
    with tf.io.TFRecordWriter(os.path.join(folder, name)) as writer:
        version = event_pb2.Event(file_version="brain.Event:2")
        writer.write(version.SerializeToString())
        writer.write(event.SerializeToString())


def _text(value: Any) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)


def _lost(error: OSError, path: str) -> OSError:
    reason = error.strerror or str(error)
    text = f"{path} cannot be written: {reason}. Free some space or"
    return OSError(f"{text} choose another --logdir, then start again.")
